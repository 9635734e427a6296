import Events
import Views

extension PartialResult {
  /// Parts of these rows that end by then may be gone.
  mutating func noteDropped(through end: Int64?) {
    if let end { droppedEnd = max(end, droppedEnd ?? end) }
  }
}

extension ComputeService {
  /// The rows as they were when exactly these offsets had been counted.
  /// - Parameter anew: Partitions whose events are all to be folded again, whatever is kept of them.
  func read(
    _ record: GenerationRecord, asOf: OffsetVector, _ partitions: Set<PartitionID>, _ range: RowRange,
    deadline: ContinuousClock.Instant, anew: Set<PartitionID> = []
  ) async throws(ViewStoreError) -> PartialResult {
    var result = PartialResult(
      definition: record.definition, generation: record.number, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: record.definition.layout.stride))
    /// Up to where rows of these may be gone.
    var dropped: [PartitionID: Int64] = [:]
    let progress = await progress(of: record.id)
    let present = Set(
      progress.filter {
        partitions.contains($0.partition) && asOf[$0.partition] == $0.nextOffset && !anew.contains($0.partition)
      }.map(\.partition))
    if !present.isEmpty {
      let now = try await read([record], present, range)[0]
      // What has been counted since the progress was asked is a past state now.
      if present.allSatisfy({ now.asOf[$0] == asOf[$0] }) {
        result = now
        for partition in present { dropped[partition] = now.droppedEnd }
      }
    }
    for one in progress where partitions.contains(one.partition) && result.asOf[one.partition] == nil {
      let end = asOf[one.partition] ?? one.firstOffset
      guard end <= one.highWatermark else {
        throw .refused(
          code: "as_of_ahead",
          detail:
            "partition \(one.partition) ends at offset \(one.highWatermark): \(end) is not counted yet; after= waits for offsets")
      }
      result.asOf[one.partition] = end
      guard end > one.firstOffset else { continue }
      let kept = workers[one.partition.index % workers.count].kept
      let base = anew.contains(one.partition) ? nil : await kept.nearest(record, one.partition, upTo: end)
      defer { base?.store.file.close() }
      let snapshot = try await past.rows(
        record.definition, record.times, one.partition, from: one.firstOffset, to: end, range, base: base, deadline: deadline)
      result.eventTimeWatermarks.merge(snapshot.eventTimeWatermarks) { $1 }
      result.noteDropped(through: snapshot.droppedEnds.values.max())
      dropped.merge(snapshot.droppedEnds) { $1 }
      let rows = snapshot.windows(of: record.definition)
      result.rows.append(contentsOf: rows)
    }
    // Retention may have taken parts of rows by what other partitions counted later than they are asked for here: the log may have their events still.
    let passed =
      PartialResult.expiredEnd(record.definition, eventTimeWatermarks: result.eventTimeWatermarks, droppedEnd: nil) ?? .min
    let cut = Set(dropped.filter { $0.value > passed }.keys)
    guard cut.isSubset(of: anew) else {
      return try await read(record, asOf: asOf, partitions, range, deadline: deadline, anew: anew.union(cut))
    }
    return result
  }
}
