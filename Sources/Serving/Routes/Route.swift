import Events
import NIOHTTP1

/// What a service answers one method of a path with, and within what bounds.
public struct Route<Endpoint: Sendable>: Sendable {
  /// Who answers.
  public enum Target: Sendable {
    case operation(ServiceOperation)
    case endpoint(Endpoint)
  }

  /// How long an answer is worked for.
  public enum Pace: Sendable {
    /// To its end, whoever still waits for it: it is short, or changes something.
    case whole
    /// Until whoever asked has left.
    case whileAsked
    /// Likewise, and until the service ends: a wait.
    case whileServed
    /// As `whileAsked`, and until whoever asked ends his side: nobody does who follows a stream. Takes no `HEAD`.
    case stream
  }

  public let method: HTTPMethod
  /// `/v1/views/{view}`; metrics and the description name it so.
  public let path: String
  public let target: Target
  /// What a token must permit for it; nil for what holds nobody's data.
  public let scope: AccessScope?
  /// Of its body; 0 for a route that takes none.
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

  /// `HEAD` goes with it.
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

/// What every service answers to those who look after it.
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
