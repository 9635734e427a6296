import Events
import Views

/// Decides which rows can no longer change.
///
/// A window is closed for a source once the source's event-time watermark has reached window end + allowed lateness; with
/// `watermark: partition`, once its partition's has, for all its sources. A row is final when its window is closed for every
/// source that can still bring events for it. With partitions missing, a row that may have parts in them is not final.
///
/// Where each source's own time closes windows:
/// - if `source` is one of the result's keys, that is the row's own source, silent or not;
/// - else it is every active source of all partitions; the store says which is the slowest. When none is active, a row is final
///   once somebody's time has closed its window.
///
/// Where a partition's time closes windows:
/// - if `source` is one of the result's keys, that is the source's own partition;
/// - else it is every partition, also one that has seen no event yet, whose first may be of any time. An idle partition holds
///   nothing back for ever: it counts as far along as the slowest partition that is not idle; when all are, as the furthest.
///
/// If a silent source, or an idle partition, comes back with older events, a final row changes after all.
struct Finality: Sendable {
  /// A result's statements about its partitions and their sources.
  struct Partitions: Sendable {
    /// The event-time watermarks of the partitions that have seen events.
    var eventTimeWatermarks: [PartitionID: Timestamp]
    /// The event-time watermark of each partition's slowest active source; a partition without is not named.
    var slowestSources: [PartitionID: Timestamp] = [:]
    /// The partitions that have seen no event.
    var silent: Set<PartitionID> = []
    /// Whether rows of some partitions are missing.
    var areMissing = false

    init(_ eventTimeWatermarks: [PartitionID: Timestamp], asOf: OffsetVector = OffsetVector(), areMissing: Bool = false) {
      self.eventTimeWatermarks = eventTimeWatermarks
      self.areMissing = areMissing
      silent = Set(asOf.offsets.keys.filter { eventTimeWatermarks[$0] == nil })
    }

    /// - Parameter read: A store's answer, or the head of a stream.
    init(_ read: PartialResult) {
      self.init(read.eventTimeWatermarks, asOf: read.asOf, areMissing: !read.missing.isEmpty)
      slowestSources = read.slowestSources
    }

    /// The event-time watermark that every active source has reached; nil where nothing may be final.
    fileprivate var reachedByActiveSources: Int64? {
      guard !areMissing, let furthest = eventTimeWatermarks.values.max() else { return nil }
      return (slowestSources.values.min().map { min($0, furthest) } ?? furthest).nanoseconds
    }
  }

  private enum Rule {
    /// Windows that end at or before this are closed everywhere.
    case everywhere(Int64)
    /// The same for each partition, by number; `Int64.min` where no event was seen.
    case eachPartition([Int64])
    /// Each row has its source's event-time watermark.
    case eachSource
  }

  private let definition: ViewDefinition
  private let rule: Rule
  /// For each row of a result, the time that counts in place of its window's end; nil where the end counts.
  var lastChanges: [Int64]?

  /// - Parameter idle: Partitions that hold nothing back; of no weight where each source's own time closes windows.
  init(definition: ViewDefinition, keptKeys: [Int]?, _ partitions: Partitions, idle: Set<PartitionID> = []) {
    self.definition = definition
    let keepsSource = definition.keepsSource(keptKeys: keptKeys)
    rule =
      switch (definition.watermark, keepsSource) {
      case (.source, true): .eachSource
      case (.source, false):
        .everywhere(partitions.reachedByActiveSources.map { definition.closedEnd(at: $0) } ?? .min)
      case (.partition, _): Finality.rule(definition, keepsSource: keepsSource, partitions, idle)
      }
  }

  private static func rule(
    _ definition: ViewDefinition, keepsSource: Bool, _ partitions: Partitions, _ idle: Set<PartitionID>
  ) -> Rule {
    let watermarks = partitions.eventTimeWatermarks
    let active = watermarks.filter { !idle.contains($0.key) }
    let reference = active.values.min() ?? watermarks.values.max()
    func end(_ time: Timestamp) -> Int64 { definition.closedEnd(at: time.nanoseconds) }
    guard keepsSource else {
      let isHeld = partitions.areMissing || !partitions.silent.isSubset(of: idle)
      return .everywhere(isHeld ? Int64.min : reference.map(end) ?? Int64.min)
    }
    var closedEnds = Array(repeating: Int64.min, count: (watermarks.keys.max()?.index ?? -1) + 1)
    for (partition, time) in watermarks {
      let reached = idle.contains(partition) ? max(time, reference ?? time) : time
      closedEnds[partition.index] = end(reached)
    }
    return .eachPartition(closedEnds)
  }

  /// Whether the partitions that are idle may change what is final.
  static func dependsOnIdlePartitions(_ definition: ViewDefinition) -> Bool { definition.watermark == .partition }

  /// - Parameter row: A row of the result that this belongs to.
  func isFinal(_ row: Int, of rows: PartialRows) -> Bool {
    // The step's end where windows are merged: a later window of the step may still come.
    let windowEnd = lastChanges?[row] ?? rows.windowEnds[row]
    switch rule {
    case .everywhere(let closedEnd): return windowEnd <= closedEnd
    case .eachPartition(let closedEnds):
      let partition = rows.partitions[row].index
      return partition < closedEnds.count && windowEnd <= closedEnds[partition]
    case .eachSource:
      return rows.sourceWatermark(row).map { definition.isClosed(windowEnd: windowEnd, at: $0) } ?? false
    }
  }

  func isEveryRowFinal(_ rows: PartialRows) -> Bool {
    for row in 0..<rows.count where !isFinal(row, of: rows) { return false }
    return true
  }
}
