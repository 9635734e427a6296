/// What a path stands for.
enum Route: String, Sendable, CaseIterable {
  case root = "/"
  case views = "/v1/views"
  case view = "/v1/views/{view}"
  case events = "/v1/events"
  case alive = "/livez"
  case ready = "/readyz"
  case health = "/health"
  case metrics = "/metrics"
  case openAPI = "/openapi.json"
  /// None of the others.
  case unknown

  /// - Parameter path: Still percent-encoded.
  /// - Returns: The route, and the view's name as the path has it.
  static func find(_ path: Substring) -> (route: Route, view: Substring) {
    let prefix = "/v1/views/"
    if path.hasPrefix(prefix) {
      let rest = path.dropFirst(prefix.utf8.count)
      return rest.isEmpty || rest.utf8.contains(0x2F) ? (.unknown, "") : (.view, rest)
    }
    switch path {
    case "/": return (.root, "")
    case "/v1/views": return (.views, "")
    case "/v1/events": return (.events, "")
    case "/livez": return (.alive, "")
    case "/readyz": return (.ready, "")
    case "/health": return (.health, "")
    case "/metrics": return (.metrics, "")
    case "/openapi.json": return (.openAPI, "")
    default: return (.unknown, "")
    }
  }
}
