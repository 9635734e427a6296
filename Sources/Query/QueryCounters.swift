import Metrics
import Synchronization

/// What the query service counts, for `/metrics`. Labels are routes and statuses: few, whatever is asked.
final class QueryCounters: Sendable {
  private struct Key: Hashable {
    var route: Route
    var status: Int
  }

  private let requests = Mutex<[Key: Counter]>([:])
  private let durations: [Route: Metrics.Timer]

  init() {
    var durations: [Route: Metrics.Timer] = [:]
    for route in Route.allCases {
      durations[route] = Metrics.Timer(label: "penstock_query_request_seconds", dimensions: [("route", route.rawValue)])
    }
    self.durations = durations
  }

  /// - Parameter seconds: From the request's head to the answer's first bytes.
  func answered(_ route: Route, _ status: Int, after duration: Duration) {
    let counter = requests.withLock { counters in
      let key = Key(route: route, status: status)
      if let known = counters[key] { return known }
      let counter = Counter(
        label: "penstock_query_requests_total", dimensions: [("route", route.rawValue), ("status", String(status))])
      counters[key] = counter
      return counter
    }
    counter.increment()
    durations[route]?.recordNanoseconds(duration.nanoseconds)
  }
}
