/// The server's address and the bounds of a device client.
public struct DeviceClientConfiguration: Sendable {
  public var host: String
  public var port: Int
  public var path = "/v1/stream"
  /// The sources that the handshake names: the welcome says where they are (`DeviceTotals.resume`). If one is named, it is also
  /// the source of events without one.
  public var sources: [String] = []
  /// Headers of the handshake, `Authorization` for example.
  public var headers: [(name: String, value: String)] = []
  /// Puts TLS first in the connection's pipeline, for `wss`; nil for plain text.
  public var secure: HTTPExchange.Securing?
  /// Whether to offer permessage-deflate, and to compress if the server agrees.
  public var deflate = false
  /// Messages sent and not acknowledged; the server's own limit holds where it is lower.
  public var unackedMessagesMax = 1024
  /// Bytes of those messages, kept to be sent again. One message may always be on its way.
  public var unackedBytesMax = 8 << 20
  /// Messages given to the client and not sent: `send` waits beyond this number.
  public var queuedMessagesMax = 1024
  public var queuedBytesMax = 1 << 20
  /// A file that keeps unanswered events over a crash of the process; each client needs its own.
  public var spool: DeviceSpool?
  public var connectTimeout = Duration.seconds(5)
  /// How long to go on without an acknowledgement once a connection was lost or refused, whatever the server accepts; nil for
  /// ever.
  public var retryFor: Duration? = .seconds(60)
  /// The wait before the first retry; it doubles with each, up to `backoffMax`. A random part of it, at least half, is waited.
  public var backoffMin = Duration.milliseconds(100)
  public var backoffMax = Duration.seconds(30)
  /// The seed of the jitter; give each client its own, so that a fleet does not come back at once.
  public var seed: UInt64
  /// The most rejects kept in the totals, the first ones.
  public var rejectsKeptMax = 100

  public init(host: String = "127.0.0.1", port: Int, seed: UInt64 = .random(in: 0 ... .max)) {
    self.host = host
    self.port = port
    self.seed = seed
  }
}
