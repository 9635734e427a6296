import Aggregates
import Events
import Expressions
import Synchronization
import Views

/// A store whose answers a test decides.
final class FakeStore: ViewStore {
  struct State: Sendable {
    var statuses: [ViewStatus] = []
    var results: [String: PartialResult] = [:]
    var readError: ViewStoreError?
    var viewsError: ViewStoreError?
    var requests: [ViewReadRequest] = []
    var viewsAsked = 0
    var tallies: [ViewTally] = []
    /// Whether rows of one key can be had at once; and how often they were.
    var isAtOnce = false
    var readAtOnce = 0
  }

  let state = Mutex(State())

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    let (statuses, error) = state.withLock { state in
      state.viewsAsked += 1
      return (state.statuses, state.viewsError)
    }
    if let error { throw error }
    return statuses
  }

  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    let (result, error) = state.withLock { state in
      state.requests.append(request)
      return (state.results[request.view], state.readError)
    }
    if let error { throw error }
    if let from = request.from, let to = request.to { precondition(from < to, "a range has room") }
    guard let result else { throw .unknownView(request.view, known: []) }
    if let after = request.after, !result.asOf.reaches(after) { throw .timeout(reached: result.asOf) }
    return FakeStore.cut(result, request)
  }

  nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] { state.withLock { $0.tallies } }

  func readAtOnce(_ request: ViewReadRequest) -> PartialResult? {
    state.withLock { state in
      guard state.isAtOnce, let key = request.key, let result = state.results[request.view] else { return nil }
      state.readAtOnce += 1
      return FakeStore.cut(result, request, key: key)
    }
  }

  /// The rows within the request's range.
  private static func cut(_ whole: PartialResult, _ request: ViewReadRequest, key wanted: [UInt8]? = nil) -> PartialResult {
    var result = whole
    var rows = PartialRows(stride: result.rows.stride)
    for row in 0..<result.rows.count {
      let start = result.rows.windowStarts[row]
      if let from = request.from, start < from.nanoseconds { continue }
      if let to = request.to, start >= to.nanoseconds { continue }
      if let wanted, !result.rows.withKey(row, { $0.elementsEqual(wanted) }) { continue }
      rows.append(row, of: result.rows)
    }
    if let filter = request.keyFilter {
      var scratch = EvaluationScratch()
      rows = rows.filtered(by: filter, keys: whole.definition.keys.map(\.name), using: &scratch)
    }
    result.rows = rows
    return result
  }
}

/// One row of a store: what was seen of a key in a window in a partition.
struct Seen: Hashable, Sendable {
  var partition: Int
  /// Hours since the epoch.
  var hour: Int
  var source: String
  var site: ResultValue
  var values: [Double]
}

enum Hours {
  static let hour: Int64 = 3_600_000_000_000

  /// Keys `source` and `site`, one-hour windows, `n`, `total`, `mean`, `low`, `high` of `data.v`.
  static func definition(
    name: String = "hourly", watermark: WatermarkScope = .partition, allowedLateness: Int64 = hour, keysOnSource: Bool = true
  ) throws -> ViewDefinition {
    let value = try Expression(parsing: "data.v")
    return ViewDefinition(
      name: name,
      keys: [
        KeyColumn(name: "source", path: keysOnSource ? .attribute("source") : .data(["source"])),
        KeyColumn(name: "site", path: .data(["site"])),
      ],
      window: .tumble(size: hour), watermark: watermark, watermarkDelay: 0, allowedLateness: allowedLateness,
      aggregates: [
        AggregateColumn(name: "n", function: .countRows), AggregateColumn(name: "total", function: .sum, argument: value),
        AggregateColumn(name: "mean", function: .avg, argument: value),
        AggregateColumn(name: "low", function: .min, argument: value),
        AggregateColumn(name: "high", function: .max, argument: value),
      ])
  }

  static func rows(_ seen: [Seen], _ definition: ViewDefinition) -> PartialRows {
    let layout = definition.layout
    var result = PartialRows(stride: layout.stride)
    for row in seen {
      var vector = ValueVector(repeating: .double, count: row.values.count)
      vector.bits = row.values.map(\.bitPattern)
      var states = StateRows(layout: layout)
      states.append()
      Array(repeating: Int32(0), count: row.values.count).withUnsafeBufferPointer { slots in
        let batch = StateRows.Batch(slots: slots, times: UnsafeBufferPointer(start: nil, count: 0), baseOffset: .zero)
        states.foldRows(batch)
        if !definition.arguments.isEmpty { states.fold(argument: 0, vector, batch) { _, _ in } }
      }
      KeyCodec.encode([.string(row.source), row.site]).withUnsafeBytes { key in
        result.append(
          partition: PartitionID(row.partition), windowStart: Int64(row.hour) * hour, windowEnd: Int64(row.hour + 1) * hour,
          key: key
        ) { states.appendCanonical(0, to: &$0) }
      }
    }
    return result
  }

  static func text(_ hour: Int) -> String { Timestamp(nanoseconds: Int64(hour) * Hours.hour).description }
}

extension FakeStore {
  /// One event more is counted, in the view's first partition.
  func advance(_ view: String) {
    state.withLock { state in
      guard let partition = state.results[view]?.asOf.offsets.keys.min() else { return }
      let next = state.results[view]?.asOf[partition]?.advanced(by: 1)
      state.results[view]?.asOf[partition] = next
    }
  }

  /// Puts a view's rows there, with partitions that count all there is.
  /// - Parameters:
  ///   - watermarks: Event-time watermarks in hours, by partition.
  ///   - slowest: The same of each partition's slowest active source.
  ///   - sources: The same of sources, by name.
  func put(
    _ seen: [Seen], _ definition: ViewDefinition, generation: Int = 1, watermarks: [Int: Int] = [0: 0],
    lastAppend: [Int: Timestamp] = [:], slowest: [Int: Int] = [:], sources: [String: Int] = [:]
  ) {
    let times = watermarks.map { (PartitionID($0), Timestamp(nanoseconds: Int64($1) * Hours.hour)) }
    let progress = watermarks.keys.sorted().map { partition in
      PartitionProgress(
        partition: PartitionID(partition), nextOffset: Offset(10), highWatermark: Offset(10),
        eventTimeWatermark: Timestamp(nanoseconds: Int64(watermarks[partition] ?? 0) * Hours.hour),
        lastAppendTime: lastAppend[partition], applied: 8, filtered: 1, late: 1)
    }
    let status = ViewStatus(definition: definition, generation: generation, partitions: progress)
    var result = PartialResult(
      definition: definition, generation: generation, asOf: status.offsets,
      eventTimeWatermarks: Dictionary(uniqueKeysWithValues: times), rows: Hours.rows(seen, definition))
    for (partition, hour) in slowest {
      result.slowestSources[PartitionID(partition)] = Timestamp(nanoseconds: Int64(hour) * Hours.hour)
    }
    result.rows.fillSourceWatermarks(of: definition) { source in
      sources[String(decoding: source, as: UTF8.self)].map { Int64($0) * Hours.hour } ?? .min
    }
    state.withLock { [result] state in
      state.statuses.removeAll { $0.definition.name == definition.name }
      state.statuses.append(status)
      state.results[definition.name] = result
    }
  }
}
