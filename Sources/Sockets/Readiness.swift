/// The readiness that a socket is watched for, or has.
public struct Readiness: OptionSet, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Bytes, a connection to accept, or the peer's end of stream.
  public static let read = Readiness(rawValue: 1)
  public static let write = Readiness(rawValue: 2)
  /// Both directions are gone, or the socket failed. Reported whether watched for or not, and again until the socket is closed.
  public static let broken = Readiness(rawValue: 4)
  /// For watching only: report readiness once, when more bytes arrive or room comes, not while some is there. Whoever leaves
  /// bytes unread remembers it, and asks with `Reactor.readAgain`.
  public static let onArrival = Readiness(rawValue: 8)
  /// The peer sends no more. Reported with `read`, to sockets watched for arrival: its last bytes and its end are to be read,
  /// since neither is reported again.
  public static let ended = Readiness(rawValue: 16)
}
