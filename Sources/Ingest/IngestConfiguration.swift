import Events
import Serving

/// The settings of ingest. Bounds are checked where the settings are read.
public struct IngestConfiguration: Sendable, Hashable {
  public var host: String
  /// 0 takes a free one.
  public var port: Int
  /// Largest WebSocket message and HTTP body, inflated, in bytes.
  public var messageBytesMax: Int
  /// Messages of a connection that are not yet acknowledged; at the bound the connection is not read.
  public var unackedMessagesMax: Int
  /// The time between pings; a peer silent for two of them is closed.
  public var heartbeat: Duration
  /// The limits of its connections: for a device's WebSocket until it is open, for HTTP always.
  public var serving: ServingLimits
  /// The host names it answers as, besides `host`, those of loopback and those without a dot.
  public var hosts: [String]
  /// The origins of pages that may send, besides its own.
  public var origins: [String]
  /// WebSockets of one device, where tokens identify devices.
  public var deviceConnectionsMax: Int
  /// The rate of one device over all its connections and requests; nil for no bound.
  public var deviceEventsPerSecondMax: Int?
  /// Threads of our own that carry the devices' streams (Linux only); with 0, NIO's event loops carry all.
  public var reactors: Int
  /// The fate of events further ahead of the clock than `clockAheadMax`.
  public var ahead: AheadChoice
  /// The most that an event's time may be ahead of the clock without being called so; that of compute.
  public var clockAheadMax: Duration

  public init(
    host: String = "127.0.0.1", port: Int = 4000, messageBytesMax: Int = 1 << 20, unackedMessagesMax: Int = 1024,
    heartbeat: Duration = .seconds(30), serving: ServingLimits = ServingLimits(connectionsMax: 10_000), hosts: [String] = [],
    origins: [String] = [], deviceConnectionsMax: Int = 1024, deviceEventsPerSecondMax: Int? = nil,
    reactors: Int = IngestConfiguration.defaultReactors, ahead: AheadChoice = .accept, clockAheadMax: Duration = .seconds(60)
  ) {
    self.host = host
    self.port = port
    self.messageBytesMax = messageBytesMax
    self.unackedMessagesMax = unackedMessagesMax
    self.heartbeat = heartbeat
    self.serving = serving
    self.hosts = hosts
    self.origins = origins
    self.deviceConnectionsMax = deviceConnectionsMax
    self.deviceEventsPerSecondMax = deviceEventsPerSecondMax
    self.reactors = reactors
    self.ahead = ahead
    self.clockAheadMax = clockAheadMax
  }

  /// Devices within a cluster find it by a service's name.
  var rules: HostRules { HostRules(service: "ingest", listen: host, hosts: hosts, origins: origins, takesSingleLabels: true) }

  var aheadRule: AheadRule { AheadRule(choice: ahead, aheadMax: clockAheadMax.nanosecondsHeld) }

  #if os(Linux)
    public static let defaultReactors = 2
  #else
    public static let defaultReactors = 0
  #endif
}
