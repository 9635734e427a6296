/// How the local agent is reached.
public struct ConsulConfiguration: Sendable, Hashable {
  public var host: String
  public var port: Int
  /// The path of the agent's Unix socket, which is asked in place of host and port. Nil: there is none.
  public var socket: String?
  /// Holds the ACL token alone; read at the start and again when the agent refuses the one known. Nil: no token is sent.
  public var tokenFile: String?
  /// Of everything but blocking queries, the connection included.
  public var timeout = Duration.seconds(5)
  /// How long the agent holds a blocking query without a change.
  public var wait = Duration.seconds(60)
  /// Before the next try after a failure: doubled for each that follows; half of it at least is waited.
  public var backoffMin = Duration.milliseconds(100)
  public var backoffMax = Duration.seconds(5)

  /// A larger answer is an error.
  static let answerBytesMax = 8 << 20
  /// A larger token file is not read.
  static let tokenBytesMax = 4096

  /// For messages and the `Host` header.
  var place: String { socket.map { "unix://\($0)" } ?? "\(host):\(port)" }

  public init(host: String = "127.0.0.1", port: Int = 8500, tokenFile: String? = nil) {
    self.host = host
    self.port = port
    self.tokenFile = tokenFile
  }
}
