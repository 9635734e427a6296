import Foundation
import Testing

/// Compares what the query service says with what the weather must come to.
struct WeatherChecks {
  struct Row: Decodable, Sendable {
    var window_start: String
    var source: String
    var observations: Int
    var gusts: Int
    var temp_sum: Double
    var temp_avg: Double
    var temp_min: Double
    var temp_max: Double
  }

  let weather: Weather
  let api: QueryAPI
  /// Said with every failure.
  let comment: Comment

  func run(after offsets: [Int: Int64]) async throws {
    let vector = "{" + offsets.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    let rows = try await api.all(
      Row.self, "/v1/views/station_daily", [("after", vector), ("timeout", "30s"), ("limit", "1000")])
    let days = weather.days()
    #expect(rows.map { Weather.Key(day: String($0.window_start.prefix(10)), source: $0.source) } == days.keys.sorted(), comment)
    for row in rows {
      let key = Weather.Key(day: String(row.window_start.prefix(10)), source: row.source)
      guard let day = days[key] else { continue }
      #expect(row.observations == day.observations, "\(key): \(comment)")
      #expect(row.gusts == day.gusts, "\(key): \(comment)")
      #expect(WeatherChecks.isClose(row.temp_sum, day.sum), "\(key): \(row.temp_sum), not \(day.sum): \(comment)")
      #expect(
        WeatherChecks.isClose(row.temp_avg, day.sum / Double(day.observations)),
        "\(key): \(row.temp_avg), not \(day.sum / Double(day.observations)): \(comment)")
      #expect(row.temp_min == day.min && row.temp_max == day.max, "\(key): \(comment)")
    }

    let ledger = try await api.ledger()
    #expect(!ledger.views.isEmpty && ledger.differences.isEmpty, "\(ledger): \(comment)")
    for view in ledger.views { #expect(view.appended == weather.events.count && view.pending == 0, "\(view): \(comment)") }
    let events = try await api.all(Weather.Event.self, "/v1/events", [("limit", "1000")])
    #expect(events.count == weather.events.count, comment)
    #expect(Set(events.map(\.id)).count == events.count, "an event is there twice: \(comment)")
    #expect(Set(events) == Set(weather.events), "events are missing, or not as they were sent: \(comment)")
  }

  /// Our plain sum over at most 24 values may differ from a compensated one in the last digits.
  private static func isClose(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-11 * max(abs(a), abs(b), 1) }
}
