import NIOHTTP1

/// What a path stands for: the one table of ingest's paths, to which the OpenAPI document is held.
enum IngestRoute: String, Sendable, CaseIterable {
  case events = "/v1/events"
  case stream = "/v1/stream"
  case alive = "/livez"
  case ready = "/readyz"
  case health = "/health"
  case metrics = "/metrics"
  case openAPI = "/openapi.json"
  case asyncAPI = "/asyncapi.json"

  /// Nil where there is nothing.
  init?(_ head: HTTPRequestHead) { self.init(rawValue: String(head.uri.prefix { $0 != "?" && $0 != "#" })) }

  func allows(_ method: HTTPMethod) -> Bool {
    switch self {
    case .events: method == .POST
    case .stream: method == .GET
    default: method == .GET || method == .HEAD
    }
  }

  /// The `Allow` header's value.
  var allow: String {
    switch self {
    case .events: "POST"
    case .stream: "GET"
    default: "GET, HEAD"
    }
  }
}
