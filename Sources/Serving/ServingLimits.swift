/// The limits of a service's connections: their number, and how long each may keep the service waiting.
public struct ServingLimits: Sendable, Hashable {
  /// Connections open at once. Where all of them have a request under way, the next is answered with 503; else the oldest idle
  /// one is closed.
  public var connectionsMax: Int
  /// Connections of one address; nil for no such bound. An IPv6 address stands for its network of 64 bits.
  public var connectionsPerAddressMax: Int?
  /// Connections beyond `connectionsMax`, each for one request: for health and metrics; all other requests are answered with 503.
  public var healthConnections: Int
  /// From a connection's beginning to the end of its first request's head, from the first byte of any other to its end, and from
  /// there to the end of its body.
  public var requestTimeout: Duration
  /// From an answer's end to the first byte of the next request.
  public var idleTimeout: Duration
  /// A peer that takes no byte of an answer for this long is cut off.
  public var stallTimeout: Duration
  /// Bytes of the bodies of all requests that are being read or answered.
  public var bodiesBytesMax: Int

  public init(
    connectionsMax: Int = 4096, connectionsPerAddressMax: Int? = nil, healthConnections: Int = 16,
    requestTimeout: Duration = .seconds(30), idleTimeout: Duration = .seconds(75), stallTimeout: Duration = .seconds(30),
    bodiesBytesMax: Int = 256 << 20
  ) {
    self.connectionsMax = connectionsMax
    self.connectionsPerAddressMax = connectionsPerAddressMax
    self.healthConnections = healthConnections
    self.requestTimeout = requestTimeout
    self.idleTimeout = idleTimeout
    self.stallTimeout = stallTimeout
    self.bodiesBytesMax = bodiesBytesMax
  }
}
