import Aggregates
import Events
import Views

extension ReadCoordinator {
  /// The rows as they were when exactly these offsets had been counted.
  /// - Parameter anew: The partitions whose events are all folded again, whatever state of them is kept.
  nonisolated(nonsending) func read(
    _ record: GenerationRecord, asOf: OffsetVector, _ wanted: Set<PartitionID>, _ range: RowRange,
    deadline: ContinuousClock.Instant, anew: Set<PartitionID> = []
  ) async throws(ViewStoreError) -> PartialResult {
    var result = PartialResult(record)
    /// The times up to which rows of these partitions may be gone.
    var dropped: [PartitionID: Int64] = [:]
    let progress = await partitions.progress(of: record.id)
    let present = Set(
      progress.filter { wanted.contains($0.partition) && asOf[$0.partition] == $0.nextOffset && !anew.contains($0.partition) }
        .map(\.partition))
    if !present.isEmpty {
      let now = try await read([record], present, range)[0]
      // If more has been counted since the progress was asked, the asked state is a past one now.
      if present.allSatisfy({ now.asOf[$0] == asOf[$0] }) {
        result = now
        for partition in present { dropped[partition] = now.droppedEnd }
      }
    }
    for one in progress where wanted.contains(one.partition) && result.asOf[one.partition] == nil {
      let end = asOf[one.partition] ?? one.firstOffset
      guard end <= one.highWatermark else {
        throw .refused(
          code: "as_of_ahead",
          detail:
            "partition \(one.partition) ends at offset \(one.highWatermark): \(end) is not counted yet; after= waits for offsets")
      }
      result.asOf[one.partition] = end
      guard end > one.firstOffset else { continue }
      let kept = partitions.worker(of: one.partition).kept
      let base = anew.contains(one.partition) ? nil : await kept.nearest(record, one.partition, upTo: end)
      defer { base?.store.file.close() }
      let then = try await past.rows(
        record, one.partition, from: one.firstOffset, to: end, range, base: base, deadline: deadline)
      result.eventTimeWatermarks.merge(then.eventTimeWatermarks) { $1 }
      dropped[one.partition] = then.droppedEnd
      result.rows.append(contentsOf: then.rows)
    }
    result.droppedEnd = dropped.values.max()
    // Retention may have deleted parts of rows because of events in other partitions beyond the asked offsets: the log may still
    // have these rows' events.
    let passed =
      PartialResult.expiredEnd(record.definition, eventTimeWatermarks: result.eventTimeWatermarks, droppedEnd: nil) ?? .min
    let cut = Set(dropped.filter { $0.value > passed }.keys)
    guard cut.isSubset(of: anew) else {
      return try await read(record, asOf: asOf, wanted, range, deadline: deadline, anew: anew.union(cut))
    }
    return result
  }

  /// The rows of two generations as of the same offsets.
  nonisolated(nonsending) func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults {
    let first = try find(request.view, request.first)
    let second = try find(request.view, request.second)
    let deadline = ContinuousClock.now + request.timeout
    let pair = try await read([first, second], partitions.answered, .all)
    if pair[0].asOf == pair[1].asOf { return PinnedResults(first: pair[0], second: pair[1]) }
    // One is behind, or has ended: both are read as of the lower offset.
    var common = OffsetVector()
    for (partition, offset) in pair[0].asOf.offsets { common[partition] = min(offset, pair[1].asOf[partition] ?? offset) }
    let wanted = Set(common.offsets.keys)
    return PinnedResults(
      first: try await read(first, asOf: common, wanted, .all, deadline: deadline),
      second: try await read(second, asOf: common, wanted, .all, deadline: deadline))
  }

  /// Computes a generation once more from the log, in memory, up to the offsets it has counted, and compares.
  nonisolated(nonsending) func verify(
    _ view: String, generation: Int?, timeout: Duration
  ) async throws(ViewStoreError) -> VerifyReport {
    let record = try find(view, generation)
    let deadline = ContinuousClock.now + timeout
    let starts = Dictionary(
      uniqueKeysWithValues: await partitions.progress(of: record.id).map { ($0.partition, $0.firstOffset) })
    var report = VerifyReport(definition: record.definition, generation: record.number, partitions: [], difference: nil)
    // Partition by partition: each is read in a transaction of its own, and only one is in memory.
    for partition in partitions.answered.sorted() {
      let kept = try await read([record], [partition], .all)[0]
      guard let end = kept.asOf[partition], let start = starts[partition] else { continue }
      // The deletion of parts of rows depends on other partitions too: parts that may be gone are left out on both sides.
      let rows = kept.rows.retained(after: kept.droppedEnd)
      let replayed = try await past.rows(
        record, partition, from: start, to: end, .all, deadline: deadline
      ).rows.retained(after: kept.droppedEnd)
      report.partitions.append(
        VerifyReport.Partition(
          partition: partition, offset: end, rows: rows.count, kept: StateHash(rows), replayed: StateHash(replayed)
        ))
      if report.difference == nil {
        report.difference = VerifyReport.Difference(rows, replayed, partition, record.definition.layout)
      }
    }
    return report
  }
}
