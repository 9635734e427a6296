/// The version of the protocol between services; both sides say theirs, and one that differs is refused.
public enum WireVersion {
  public static let current = 1
}
