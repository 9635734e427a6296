import Events
import NIOHTTP1
import Serving

/// What a path stands for: the one table of paths, to which the OpenAPI document is held.
enum Route: String, Sendable, CaseIterable {
  case root = "/"
  case consoleFile = "/console/{file}"
  case overview = "/v1/overview"
  case liveOverview = "/v1/overview/live"
  case mesh = "/v1/mesh"
  case views = "/v1/views"
  case view = "/v1/views/{view}"
  case live = "/v1/views/{view}/live"
  case late = "/v1/views/{view}/late"
  case sql = "/v1/sql"
  case aggregate = "/v1/aggregate"
  case ledger = "/v1/ledger"
  case rejects = "/v1/rejects"
  case apply = "/v1/views/apply"
  case generations = "/v1/views/{view}/generations"
  case generation = "/v1/views/{view}/generations/{generation}"
  case replays = "/v1/views/{view}/replays"
  case replay = "/v1/views/{view}/replays/{id}"
  case promote = "/v1/views/{view}/promote"
  case rollback = "/v1/views/{view}/rollback"
  case diff = "/v1/views/{view}/diff"
  case verify = "/v1/views/{view}/verify"
  case events = "/v1/events"
  case alive = "/livez"
  case ready = "/readyz"
  case health = "/health"
  case metrics = "/metrics"
  case openAPI = "/openapi.json"
  /// None of the others.
  case unknown

  /// What may be asked of it; `HEAD` goes with `GET`.
  var methods: [HTTPMethod] {
    switch self {
    case .sql, .aggregate: [.POST]
    case .unknown: []
    case .apply, .promote, .rollback, .verify: [.POST]
    case .replays: [.GET, .POST]
    case .view, .generation, .replay: [.GET, .DELETE]
    default: [.GET]
    }
  }

  /// Whether answering may take long enough that it should end when whoever asked has left.
  var isLong: Bool {
    switch self {
    case .live, .liveOverview, .sql, .aggregate, .diff, .verify: true
    default: false
    }
  }

  /// Whether its answer is computed of data, and so may take long: what tells how the service is must not wait for those.
  var isComputed: Bool {
    switch self {
    case .root, .consoleFile, .alive, .ready, .health, .metrics, .openAPI, .mesh, .unknown: false
    default: true
    }
  }

  /// What a token must permit for it; nil for what holds nobody's data. Whatever is not known to read takes `admin`.
  func scope(_ method: HTTPMethod) -> AccessScope? {
    switch self {
    case .root, .consoleFile, .alive, .ready, .health, .openAPI, .unknown: nil
    case .sql, .aggregate: .query
    default: method == .GET || method == .HEAD ? .query : .admin
    }
  }

  func allows(_ method: HTTPMethod) -> Bool {
    methods.contains(method) || (method == .HEAD && self != .live && methods.contains(.GET))
  }

  /// The `Allow` header's value.
  var allow: String {
    var names = methods.map(\.rawValue)
    if allows(.HEAD) { names.insert("HEAD", at: names.firstIndex(of: "GET").map { $0 + 1 } ?? 0) }
    return names.joined(separator: ", ")
  }
}

/// A path's route and what stands in the places of its `{…}`.
struct RouteMatch: Sendable {
  var route: Route
  /// In order, still percent-encoded, none empty.
  var parameters: [Substring] = []

  /// - Parameter path: Still percent-encoded.
  init(_ path: Substring) {
    if let route = RouteMatch.literals[path] {
      self.route = route
      return
    }
    route = .unknown
    let segments = path.utf8.split(separator: 0x2F, omittingEmptySubsequences: false).map(Substring.init)
    for (route, template) in RouteMatch.templates where template.count == segments.count {
      let matches = zip(template, segments).allSatisfy { $0.isParameter ? !$1.isEmpty : $0.text == $1 }
      guard matches else { continue }
      self.route = route
      parameters = zip(template, segments).compactMap { $0.isParameter ? $1 : nil }
      return
    }
  }

  /// A parameter, decoded.
  /// - Parameter index: Its number in the route's path.
  func parameter(_ index: Int = 0) throws(QueryFailure) -> String {
    guard let text = PercentText.decode(parameters[index].utf8, plusIsSpace: false) else {
      throw .notFound(route.rawValue)
    }
    return text
  }

  private struct Segment: Sendable {
    let text: Substring
    let isParameter: Bool

    init(_ text: Substring) {
      self.text = text
      isParameter = text.first == "{"
    }
  }

  private static let literals: [Substring: Route] = {
    let routes = Route.allCases.filter { $0 != .unknown && !$0.rawValue.contains("{") }
    return Dictionary(uniqueKeysWithValues: routes.map { (Substring($0.rawValue), $0) })
  }()

  private static let templates: [(Route, [Segment])] = Route.allCases.filter { $0.rawValue.contains("{") }.map { route in
    (route, route.rawValue.split(separator: "/", omittingEmptySubsequences: false).map(Segment.init))
  }
}
