import Foundation

@testable import PenstockClient

/// The bundled observations, and what a day and station must come to: computed here, by none of the code under test.
struct Weather {
  struct Event: Decodable, Hashable, Sendable {
    struct Observation: Decodable, Hashable, Sendable {
      var temp: Double?
      var wind_gust: Double?
      var precip: Double?
      var pressure: Double?
    }
    var id: String
    var source: String
    var time: String
    var sequence: UInt64
    var data: Observation
  }

  struct Key: Hashable, Comparable {
    var day: String
    var source: String
    static func < (a: Key, b: Key) -> Bool { (a.day, a.source) < (b.day, b.source) }
  }

  struct Day {
    var observations = 0
    var gusts = 0
    var sum = 0.0
    var min = Double.infinity
    var max = -Double.infinity
  }

  static let views = """
    views:
      station_daily:
        where: type == "weather.observed" && data.temp != null
        key: [source]
        window: { tumble: 1d }
        watermark_delay: 1h
        allowed_lateness: 400d      # stations run ahead of each other here, and none is to be late
        retention: 3650d
        aggregates:
          observations: count()
          gusts: count(data.wind_gust)
          temp_sum: sum(data.temp)
          temp_avg: avg(data.temp)
          temp_min: min(data.temp)
          temp_max: max(data.temp)
    """

  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Sources/Penstock/Resources/weather-2013.ndjson.gz").standardizedFileURL.path

  let lines: [[UInt8]]
  let events: [Event]

  init() throws {
    let reader = try EventInputReader(.file(Weather.path))
    var text: [UInt8] = []
    reading: while true {
      switch try reader.next() {
      case .bytes(let bytes): text += bytes
      case .idle: continue
      case .end: break reading
      }
    }
    lines = text.split(separator: 0x0A).map(Array.init)
    let decoder = JSONDecoder()
    events = try lines.map { try decoder.decode(Event.self, from: Data($0)) }
  }

  /// Count, sum, smallest and largest, as anyone would write it. Times are UTC, so a day is a text's beginning.
  func days() -> [Key: Day] {
    var days: [Key: Day] = [:]
    for event in events {
      guard let temp = event.data.temp else { continue }
      let key = Key(day: String(event.time.prefix(10)), source: event.source)
      days[key, default: Day()].observations += 1
      if event.data.wind_gust != nil { days[key, default: Day()].gusts += 1 }
      days[key, default: Day()].sum += temp
      days[key, default: Day()].min = Swift.min(days[key, default: Day()].min, temp)
      days[key, default: Day()].max = Swift.max(days[key, default: Day()].max, temp)
    }
    return days
  }
}
