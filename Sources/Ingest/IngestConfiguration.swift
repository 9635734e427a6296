import Events

/// What ingest is told. Bounds are checked where the settings are read.
public struct IngestConfiguration: Sendable {
  public var host: String
  /// 0 takes a free one.
  public var port: Int
  /// Largest WebSocket message and HTTP body, inflated, in bytes.
  public var messageBytesMax: Int
  /// Messages of a connection not yet acknowledged; at the bound the connection is not read.
  public var unackedMessagesMax: Int
  /// Between pings; a peer silent for two of them is closed.
  public var heartbeat: Duration
  public var connectionsMax: Int
  /// Threads of our own that carry the devices' streams (Linux only); with 0, NIO's event loops carry all.
  public var reactors: Int

  public init(
    host: String = "127.0.0.1", port: Int = 4000, messageBytesMax: Int = 1 << 20, unackedMessagesMax: Int = 1024,
    heartbeat: Duration = .seconds(30), connectionsMax: Int = 20_000,
    reactors: Int = IngestConfiguration.defaultReactors
  ) {
    self.host = host
    self.port = port
    self.messageBytesMax = messageBytesMax
    self.unackedMessagesMax = unackedMessagesMax
    self.heartbeat = heartbeat
    self.connectionsMax = connectionsMax
    self.reactors = reactors
  }

  #if os(Linux)
    public static let defaultReactors = 2
  #else
    public static let defaultReactors = 0
  #endif
}
