import HTTPClient

/// The address of the local agent, and the times that its requests may take.
public struct ConsulConfiguration: Sendable, Hashable {
  public var host: String
  public var port: Int
  /// The path of the agent's Unix socket, used in place of host and port; nil where there is none.
  public var socket: String?
  /// The path of a file that holds the ACL token alone; read at the start and again when the agent refuses the token. Nil: no
  /// token is sent.
  public var tokenFile: String?
  /// The time limit of all requests but blocking queries, connecting included.
  public var timeout = Duration.seconds(5)
  /// How long the agent holds a blocking query without a change.
  public var wait = Duration.seconds(60)
  /// The wait before the next try after a failure: it doubles with each failure; at least half of it is waited.
  public var backoffMin = Duration.milliseconds(100)
  public var backoffMax = Duration.seconds(5)

  /// A larger answer is an error.
  static let answerBytesMax = 8 << 20
  /// A larger token file is not read.
  static let tokenBytesMax = 4096

  /// The agent's address, for messages and the `Host` header.
  var place: String { socket.map { "unix://\($0)" } ?? ServiceURL.authority(of: host, port) }

  public init(host: String = "127.0.0.1", port: Int = 8500, tokenFile: String? = nil) {
    self.host = host
    self.port = port
    self.tokenFile = tokenFile
  }
}
