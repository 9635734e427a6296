import Events
import NIOHTTP1

/// One method of a path: the endpoint that answers it, and its bounds.
public struct Route<Endpoint: Sendable>: Sendable {
  /// The endpoint or operation that answers.
  public enum Target: Sendable {
    case operation(ServiceOperation)
    case endpoint(Endpoint)
  }

  /// How long an answer is computed.
  public enum Pace: Sendable {
    /// To its end, whether or not the client still waits: it is short, or changes something.
    case whole
    /// Until the client has left.
    case whileAsked
    /// Until the client has left or the service ends: a wait.
    case whileServed
    /// Until the client has left or has ended its side, which no reader of a stream does. There is no `HEAD`.
    case stream
  }

  public let method: HTTPMethod
  /// The path's name in metrics and the description: `/v1/views/{view}`.
  public let path: String
  public let target: Target
  /// The scope that a token must have; nil for routes that hold nobody's data.
  public let scope: AccessScope?
  /// The longest body; 0 for a route that takes none.
  public let bodyBytesMax: Int
  public let pace: Pace

  public init(
    _ method: HTTPMethod, _ path: String, _ target: Target, scope: AccessScope? = nil, bodyBytesMax: Int = 0, pace: Pace = .whole
  ) {
    self.method = method
    self.path = path
    self.target = target
    self.scope = scope
    self.bodyBytesMax = bodyBytesMax
    self.pace = pace
  }

  /// A route of `GET`, which includes `HEAD`.
  public static func get(_ path: String, _ endpoint: Endpoint, scope: AccessScope? = nil, pace: Pace = .whole) -> Route {
    Route(.GET, path, .endpoint(endpoint), scope: scope, pace: pace)
  }

  public static func post(
    _ path: String, _ endpoint: Endpoint, scope: AccessScope? = nil, bodyBytesMax: Int, pace: Pace = .whole
  ) -> Route {
    Route(.POST, path, .endpoint(endpoint), scope: scope, bodyBytesMax: bodyBytesMax, pace: pace)
  }

  public static func delete(_ path: String, _ endpoint: Endpoint, scope: AccessScope?) -> Route {
    Route(.DELETE, path, .endpoint(endpoint), scope: scope)
  }

  var takesHead: Bool { method == .GET && pace != .stream }
}

/// The routes that every service has, for its operators.
public enum ServiceOperation: String, Sendable, CaseIterable {
  /// No dependency is asked.
  case alive = "/livez"
  /// The dependencies are asked.
  case ready = "/readyz"
  case health = "/health"
  case metrics = "/metrics"
  case description = "/openapi.json"

  /// Answered even where there is no room for the connection.
  var isForAll: Bool {
    switch self {
    case .alive, .ready, .health, .metrics: true
    case .description: false
    }
  }
}
