import Events
import Views

/// Decides which rows can no longer change.
///
/// A window is closed in a partition once the partition's event-time watermark has reached window end + allowed lateness. A row
/// is final when its window is closed in every partition that can still bring events for it:
/// - where `source` is one of the result's keys, that is the source's own partition;
/// - else it is every partition, also one that has seen no event yet, whose first may be of any time. With partitions missing,
///   nothing is final.
///
/// An idle partition holds nothing back for ever: it counts as far along as the slowest partition that is not idle;
/// when all are, as the furthest. If it wakes up, a final row may change after all.
struct Finality: Sendable {
  /// A result's statements about its partitions.
  struct Partitions: Sendable {
    /// The event-time watermarks of the partitions that have seen events.
    var eventTimeWatermarks: [PartitionID: Timestamp]
    /// The partitions that have seen no event.
    var silent: Set<PartitionID> = []
    /// Whether rows of some partitions are missing.
    var areMissing = false

    init(_ eventTimeWatermarks: [PartitionID: Timestamp], asOf: OffsetVector = OffsetVector(), areMissing: Bool = false) {
      self.eventTimeWatermarks = eventTimeWatermarks
      self.areMissing = areMissing
      silent = Set(asOf.offsets.keys.filter { eventTimeWatermarks[$0] == nil })
    }
  }

  /// The end up to which windows' rows are final in every partition; nil where the partition decides.
  private var closedEnd: Int64?
  /// The same for each partition, by number; `Int64.min` where no event was seen.
  private var closedEnds: [Int64] = []
  /// For each row of a result, the time that counts in place of its window's end; nil where the end counts.
  var lastChanges: [Int64]?

  /// - Parameter idle: Partitions that hold nothing back.
  init(definition: ViewDefinition, keptKeys: [Int]?, _ partitions: Partitions, idle: Set<PartitionID> = []) {
    let watermarks = partitions.eventTimeWatermarks
    let active = watermarks.filter { !idle.contains($0.key) }
    let reference = active.values.min() ?? watermarks.values.max()
    func end(_ time: Timestamp) -> Int64 { definition.closedEnd(at: time.nanoseconds) }
    let keys = keptKeys ?? Array(definition.keys.indices)
    guard keys.contains(where: { definition.keys[$0].path == .attribute("source") }) else {
      let isHeld = partitions.areMissing || !partitions.silent.isSubset(of: idle)
      closedEnd = isHeld ? Int64.min : reference.map(end) ?? Int64.min
      return
    }
    closedEnds = Array(repeating: Int64.min, count: (watermarks.keys.max()?.index ?? -1) + 1)
    for (partition, time) in watermarks {
      let reached = idle.contains(partition) ? max(time, reference ?? time) : time
      closedEnds[partition.index] = end(reached)
    }
  }

  /// - Parameter row: A row of the result that this belongs to.
  func isFinal(_ row: Int, of rows: PartialRows) -> Bool {
    isFinal(partition: rows.partitions[row], windowEnd: lastChanges?[row] ?? rows.windowEnds[row])
  }

  /// - Parameter windowEnd: The row's end: the step's where windows are merged, since a later window of the step may still come.
  func isFinal(partition: PartitionID, windowEnd: Int64) -> Bool {
    if let closedEnd { return windowEnd <= closedEnd }
    return partition.index < closedEnds.count && windowEnd <= closedEnds[partition.index]
  }

  func isEveryRowFinal(_ rows: PartialRows) -> Bool {
    for row in 0..<rows.count where !isFinal(row, of: rows) { return false }
    return true
  }
}
