import Events
import Views

/// Which rows can no longer change.
///
/// A window is closed in a partition once the partition's event-time watermark has reached window end + allowed lateness. A row
/// is final when its window is closed in every partition that can still bring events for it:
/// - where `source` is one of the result's keys, that is the source's own partition;
/// - else it is every partition that has seen an event.
///
/// An idle partition holds nothing back for ever: it counts as far along as the slowest partition that is not idle; when all are,
/// as the furthest. Should it wake up, a row that was final may change after all.
struct Finality: Sendable {
  /// Ends of windows up to which rows are final, whatever their partition; nil where the partition decides.
  private var closedEnd: Int64?
  /// The same by partition number; `Int64.min` where nothing was seen.
  private var closedEnds: [Int64] = []

  /// - Parameters:
  ///   - eventTimeWatermarks: Of the partitions that have seen events.
  ///   - idle: Partitions that hold nothing back.
  init(
    definition: ViewDefinition, keptKeys: [Int]?, eventTimeWatermarks: [PartitionID: Timestamp],
    idle: Set<PartitionID> = []
  ) {
    let active = eventTimeWatermarks.filter { !idle.contains($0.key) }
    let reference = active.values.min() ?? eventTimeWatermarks.values.max()
    func end(_ time: Timestamp) -> Int64 { definition.closedEnd(at: time.nanoseconds) }
    let keys = keptKeys ?? Array(definition.keys.indices)
    guard keys.contains(where: { definition.keys[$0].path == .attribute("source") }) else {
      closedEnd = reference.map(end) ?? Int64.min
      return
    }
    closedEnds = Array(repeating: Int64.min, count: (eventTimeWatermarks.keys.max()?.index ?? -1) + 1)
    for (partition, time) in eventTimeWatermarks {
      let reached = idle.contains(partition) ? max(time, reference ?? time) : time
      closedEnds[partition.index] = end(reached)
    }
  }

  /// - Parameter windowEnd: Of the row: the step's end where windows are merged, since a later window of the step may still come.
  func isFinal(partition: PartitionID, windowEnd: Int64) -> Bool {
    if let closedEnd { return windowEnd <= closedEnd }
    return partition.index < closedEnds.count && windowEnd <= closedEnds[partition.index]
  }

  func isEveryRowFinal(_ rows: PartialRows) -> Bool {
    for row in 0..<rows.count where !isFinal(partition: rows.partitions[row], windowEnd: rows.windowEnds[row]) { return false }
    return true
  }
}
