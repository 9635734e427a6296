import Events
import Views

/// Which rows can no longer change.
///
/// A window is closed in a partition once the partition's event-time watermark has reached window end + allowed lateness. A row
/// is final when its window is closed in every partition that can still bring events for it:
/// - where `source` is one of the result's keys, that is the source's own partition;
/// - else it is every partition, also one that has seen no event yet, whose first may be of any time. With partitions missing, nothing is final.
///
/// An idle partition holds nothing back for ever: it counts as far along as the slowest partition that is not idle; when all are,
/// as the furthest. Should it wake up, a row that was final may change after all.
struct Finality: Sendable {
  /// What a result says of its partitions.
  struct Partitions: Sendable {
    /// Of those that have seen events.
    var eventTimeWatermarks: [PartitionID: Timestamp]
    /// Those that have not.
    var silent: Set<PartitionID> = []
    /// Whether rows of some are missing.
    var areMissing = false

    init(_ eventTimeWatermarks: [PartitionID: Timestamp], asOf: OffsetVector = OffsetVector(), areMissing: Bool = false) {
      self.eventTimeWatermarks = eventTimeWatermarks
      self.areMissing = areMissing
      silent = Set(asOf.offsets.keys.filter { eventTimeWatermarks[$0] == nil })
    }
  }

  /// Ends of windows up to which rows are final, whatever their partition; nil where the partition decides.
  private var closedEnd: Int64?
  /// The same by partition number; `Int64.min` where nothing was seen.
  private var closedEnds: [Int64] = []
  /// For each row of a result, the time that counts in place of its window's end; nil where that does.
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

  /// - Parameter row: Of the result that this is of.
  func isFinal(_ row: Int, of rows: PartialRows) -> Bool {
    isFinal(partition: rows.partitions[row], windowEnd: lastChanges?[row] ?? rows.windowEnds[row])
  }

  /// - Parameter windowEnd: Of the row: the step's end where windows are merged, since a later window of the step may still come.
  func isFinal(partition: PartitionID, windowEnd: Int64) -> Bool {
    if let closedEnd { return windowEnd <= closedEnd }
    return partition.index < closedEnds.count && windowEnd <= closedEnds[partition.index]
  }

  func isEveryRowFinal(_ rows: PartialRows) -> Bool {
    for row in 0..<rows.count where !isFinal(row, of: rows) { return false }
    return true
  }
}
