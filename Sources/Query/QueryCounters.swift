import Metrics
import Synchronization

/// The counters of the query service, for `/metrics`. Labels are routes and statuses, so they are few.
final class QueryCounters: Sendable {
  private struct Key: Hashable {
    var path: Int
    var status: Int
  }

  /// The paths of the table, and `unknown` for all others.
  private let names: [String]
  private let requests = Mutex<[Key: Counter]>([:])
  private let durations: [Metrics.Timer]

  /// - Parameter paths: The routes' paths, in the order of the table.
  init(paths: [String]) {
    names = paths + ["unknown"]
    durations = names.map { Metrics.Timer(label: "penstock_query_request_seconds", dimensions: [("route", $0)]) }
  }

  /// - Parameter path: Its place in the table; nil where it is not there.
  func name(of path: Int?) -> String { names[path ?? names.count - 1] }

  /// - Parameters:
  ///   - path: As for `name`.
  ///   - status: The answer's status.
  ///   - duration: From the request's last byte to the answer's first ones.
  func answered(_ path: Int?, _ status: Int, after duration: Duration) {
    let path = path ?? names.count - 1
    let counter = requests.withLock { counters in
      let key = Key(path: path, status: status)
      if let known = counters[key] { return known }
      let counter = Counter(
        label: "penstock_query_requests_total", dimensions: [("route", names[path]), ("status", String(status))])
      counters[key] = counter
      return counter
    }
    counter.increment()
    durations[path].recordNanoseconds(duration.nanosecondsHeld)
  }
}
