/// The readiness that a socket is watched for, or has.
public struct Readiness: OptionSet, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Bytes, a connection to accept, or the peer's end of stream.
  public static let read = Readiness(rawValue: 1)
  public static let write = Readiness(rawValue: 2)
  /// Both directions are gone, or the socket failed. Reported whether watched for or not, and again until the socket is closed.
  public static let broken = Readiness(rawValue: 4)
  /// For watching only: report `read` when more bytes arrive, not while some are there.
  public static let onArrival = Readiness(rawValue: 8)
}
