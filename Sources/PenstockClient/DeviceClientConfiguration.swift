import NIOCore

/// Where a device client connects to, and what it may hold.
public struct DeviceClientConfiguration: Sendable {
  public var host: String
  public var port: Int
  public var path = "/v1/stream"
  /// Named in the handshake: the welcome says where they are (`DeviceTotals.resume`). One alone is also the source of events
  /// without one.
  public var sources: [String] = []
  /// Sent with the handshake, `Authorization` for one.
  public var headers: [(name: String, value: String)] = []
  /// Puts TLS first in the connection's pipeline, for `wss`; nil for plain text.
  public var secure: (@Sendable (any Channel, _ host: String) throws -> Void)?
  /// Whether to offer permessage-deflate, and to compress if the server agrees.
  public var deflate = false
  /// Messages sent and not acknowledged; the server's own limit holds where it is lower.
  public var unackedMessagesMax = 1024
  /// Bytes of those messages, kept to be sent again. One message may always be on its way.
  public var unackedBytesMax = 8 << 20
  /// Messages given to the client and not sent: `send` waits beyond.
  public var queuedMessagesMax = 1024
  public var queuedBytesMax = 1 << 20
  /// Keeps what is not answered for over a crash of the process; one for each client.
  public var spool: DeviceSpool?
  public var connectTimeout = Duration.seconds(5)
  /// How long to go on without an acknowledgement once a connection was lost or refused, whatever the server accepts; nil for
  /// ever.
  public var retryFor: Duration? = .seconds(60)
  /// Before the first further try: doubled for each that follows, up to `backoffMax`; the wait is a random part of it, half at
  /// least.
  public var backoffMin = Duration.milliseconds(100)
  public var backoffMax = Duration.seconds(30)
  /// For the jitter; give each client its own, so that a fleet does not come back at once.
  public var seed: UInt64
  /// The first rejects kept in the totals.
  public var rejectsKeptMax = 100

  public init(host: String = "127.0.0.1", port: Int, seed: UInt64 = .random(in: 0 ... .max)) {
    self.host = host
    self.port = port
    self.seed = seed
  }

  /// `host:port`, for the `Host` header and messages; an IPv6 address stands in brackets.
  var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
