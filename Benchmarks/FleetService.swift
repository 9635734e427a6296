import Foundation
import Glibc

/// The query service of a `penstock up`, as the fleet's load asks it.
struct FleetService: ~Copyable {
  struct Overview: Decodable {
    var received: Int
    var appended: Int
    var duplicates: Int
    var rejected: Int

    var answered: Int { appended + duplicates + rejected }
  }

  struct Ledger: Decodable {
    struct View: Decodable {
      var view: String
      var appended: Int
      var applied: Int
      var filtered: Int
      var late: Int
      var pending: Int
    }

    var views: [View]
    var balanced: Bool
  }

  private struct Views: Decodable {
    struct View: Decodable {
      struct Lag: Decodable {
        var events: Int
        /// Nil while nothing is counted.
        var seconds: Double?
      }

      var lag: Lag
    }

    var views: [View]
  }

  private struct Rows: Decodable { var rows: [[String: RowValue]] }

  private enum RowValue: Decodable {
    case text(String)
    case number(Int)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      do { self = .number(try container.decode(Int.self)) } catch { self = .text(try container.decode(String.self)) }
    }
  }

  private let http: BlockingHTTP

  init(queryPort: Int) throws { http = try BlockingHTTP(port: queryPort) }

  borrowing func overview() throws -> Overview { try decoded(try http.get("/v1/overview")) }

  borrowing func ledger() throws -> Ledger { try decoded(try http.get("/v1/ledger")) }

  /// The events that are not counted, of all views; and the most seconds that one of them is behind.
  borrowing func lag() throws -> (events: Int, seconds: Double) {
    let views: Views = try decoded(try http.get("/v1/views"))
    return (views.views.reduce(0) { $0 + $1.lag.events }, views.views.map { $0.lag.seconds ?? 0 }.max() ?? 0)
  }

  /// Waits until every view has counted all events.
  /// - Parameter end: A time of the monotonic clock.
  /// - Returns: The seconds that it took.
  borrowing func waitUntilCounted(before end: UInt64) throws -> Double {
    let started = monotonicNow()
    while true {
      let behind = try lag().events
      if behind == 0 { return Double(monotonicNow() - started) / 1e9 }
      guard monotonicNow() < end else { throw BenchError("\(behind) events are not counted yet") }
      usleep(5000)
    }
  }

  /// Hashes each device's sums over all windows of `per_minute`; totals in whole thousandths, since the windows in which events
  /// fall depend on when they are sent.
  borrowing func resultHash() throws -> String {
    let statement = """
      SELECT source, sum(readings) AS readings, CAST(round(sum(total) * 1000) AS INTEGER) AS total,
        CAST(round(min(least) * 1000) AS INTEGER) AS least, CAST(round(max(most) * 1000) AS INTEGER) AS most
      FROM per_minute GROUP BY source ORDER BY source
      """
    let request = try JSONEncoder().encode(["sql": statement])
    let rows: Rows = try decoded(try http.post("/v1/sql", json: Array(request)))
    guard !rows.rows.isEmpty else { throw BenchError("per_minute has no rows") }
    var hash = ResultHash()
    for row in rows.rows {
      for name in ["source", "readings", "total", "least", "most"] {
        switch row[name] {
        case .text(let text)?: hash.add(text)
        case .number(let number)?: hash.add(number)
        case nil: throw BenchError("a row has no \(name)")
        }
      }
    }
    return hash.text
  }

  private borrowing func decoded<Answer: Decodable>(_ body: [UInt8]) throws -> Answer {
    try JSONDecoder().decode(Answer.self, from: Data(body))
  }
}
