import Events
import TestSupport
import Testing
import Views

@testable import Query

/// A plain model of what is final where each source's own time closes windows: every source is looked at, for every row.
private struct Fleet {
  struct Source {
    var name: String
    var partition: Int
    /// The largest event time, at most its append time and what a clock may be ahead. Hours.
    var largest: Int
    /// Whether it appended lately, by the log's times.
    var isActive: Bool
  }

  let sources: [Source]
  /// Partitions that have uncounted events, and know no source.
  let unknown: Set<Int>
  let isMissing: Bool
  let delay: Int
  let lateness: Int

  init(_ random: inout SeededGenerator) {
    sources = (0..<Int.random(in: 0...6, using: &random)).map { number in
      Source(
        name: "s\(number)", partition: Int.random(in: 0..<3, using: &random), largest: Int.random(in: -3...14, using: &random),
        isActive: Bool.random(using: &random))
    }
    let known = Set(sources.map(\.partition))
    unknown = Set((0..<3).filter { !known.contains($0) && Int.random(in: 0..<6, using: &random) == 0 })
    isMissing = Int.random(in: 0..<8, using: &random) == 0
    delay = Int.random(in: 0...2, using: &random)
    lateness = Int.random(in: 0...2, using: &random)
  }

  private func isClosed(_ windowEnd: Int64, by largest: Int) -> Bool {
    windowEnd + Int64(lateness) * Hours.hour <= Int64(largest - delay) * Hours.hour
  }

  /// Whether no source can still bring events that count in the window.
  /// - Parameter source: The row's own; nil where a row may be of any.
  func isFinal(_ windowEnd: Int64, source: String?) -> Bool {
    if let source { return sources.contains { $0.name == source && isClosed(windowEnd, by: $0.largest) } }
    guard !isMissing, unknown.isEmpty else { return false }
    return sources.allSatisfy { !$0.isActive || isClosed(windowEnd, by: $0.largest) }
      && sources.contains { isClosed(windowEnd, by: $0.largest) }
  }

  func definition() throws -> ViewDefinition {
    let hours = try Hours.definition()
    return ViewDefinition(
      name: "hourly", keys: hours.keys, window: hours.window, watermark: .source, watermarkDelay: Int64(delay) * Hours.hour,
      allowedLateness: Int64(lateness) * Hours.hour, aggregates: hours.aggregates)
  }

  /// A store's answer about the fleet.
  func read(_ seen: [Seen]) throws -> PartialResult {
    let definition = try definition()
    func time(_ largest: Int) -> Int64 { Int64(largest - delay) * Hours.hour }
    var result = PartialResult(
      definition: definition, generation: 1,
      asOf: OffsetVector(Dictionary(uniqueKeysWithValues: (0..<3).map { (PartitionID($0), Offset(9)) })), eventTimeWatermarks: [:],
      rows: Hours.rows(seen, definition))
    for source in sources {
      let (partition, reached) = (PartitionID(source.partition), Timestamp(nanoseconds: time(source.largest)))
      result.eventTimeWatermarks[partition] = max(result.eventTimeWatermarks[partition] ?? reached, reached)
      guard source.isActive else { continue }
      result.slowestSources[partition] = min(result.slowestSources[partition] ?? reached, reached)
    }
    for partition in unknown { result.slowestSources[PartitionID(partition)] = Timestamp(nanoseconds: .min) }
    if isMissing { result.missing = [PartitionID(7)] }
    let largest = Dictionary(uniqueKeysWithValues: sources.map { ($0.name, time($0.largest)) })
    result.rows.fillSourceWatermarks(of: definition) { largest[String(decoding: $0, as: UTF8.self)] ?? .min }
    return result
  }
}

@Test("what is final is what no source can change, whatever a query merges", arguments: 1...300 as ClosedRange<UInt64>)
func finalityModel(seed: UInt64) throws {
  var random = SeededGenerator(seed: seed)
  let fleet = Fleet(&random)
  let seen = fleet.sources.flatMap { source in
    (0..<4).map { _ in
      Seen(
        partition: source.partition, hour: Int.random(in: 0..<10, using: &random), source: source.name,
        site: .int(Int64.random(in: 0..<2, using: &random)), values: [1])
    }
  }
  let read = try fleet.read(seen)
  for parameters in ["", "group_by=source", "group_by=site,source", "group_by=site", "group_by="] {
    for step in ["", "step=3h"] {
      let text = [parameters, step].filter { !$0.isEmpty }.joined(separator: "&")
      let query = try ViewQuery(
        QueryParameters(text[...], known: ViewQuery.parameterNames), definition: read.definition, generation: 1, partitionCount: 3,
        rowsMax: 1000)
      let (rows, lastChanges) = query.result(of: read)
      #expect(lastChanges == nil)
      let finality = Finality(definition: read.definition, keptKeys: query.keptKeys, Finality.Partitions(read))
      let names = query.columns.filter { $0.role == .key }.map(\.name)
      for row in 0..<rows.count {
        var source: String?
        if let column = names.firstIndex(of: "source"), case .string(let name) = rows.keys(row)[column] { source = name }
        let length = step.isEmpty ? Hours.hour : 3 * Hours.hour
        let expected = fleet.isFinal(rows.windowStarts[row] + length, source: source)
        #expect(finality.isFinal(row, of: rows) == expected, "seed \(seed), \(text), row \(row)")
      }
    }
  }
}
