import Events
import SQLite
import Views

extension ComputeService: LateEventStore {
  public nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult {
    let record = try book.table.find(request.view, request.generation)
    var result = LateReadResult(generation: record.number, asOf: OffsetVector(), events: [])
    for progress in await progress(of: record.id) {
      result.asOf[progress.partition] = progress.nextOffset
      guard progress.partition >= request.partition, result.events.count < request.limit,
        let worker = workers.first(where: { progress.partition.index % workers.count == $0.number })
      else { continue }
      let range = LateRange(request, progress.partition, end: progress.nextOffset, limit: request.limit - result.events.count)
      // First what is in memory: by the time the file is read it may be there too, but not gone from both.
      var events = await worker.unsavedLate(record.id, range)
      do throws(ComputeError) {
        events += try await worker.store.late(record.id, range)
      } catch {
        throw .failed(error.description)
      }
      let sorted = Set(events).sorted { $0.offset < $1.offset }
      result.events += sorted.prefix(range.limit)
    }
    return result
  }
}

/// Late events of one partition.
struct LateRange: Sendable {
  let partition: PartitionID
  let start: Offset
  /// Exclusive.
  let end: Offset
  /// Of event time, nanoseconds: inclusive, exclusive.
  let from: Int64
  let to: Int64
  let limit: Int

  init(_ request: LateReadRequest, _ partition: PartitionID, end: Offset, limit: Int) {
    self.partition = partition
    start = partition == request.partition ? request.offset : .zero
    self.end = end
    from = request.from?.nanoseconds ?? .min
    to = request.to?.nanoseconds ?? .max
    self.limit = limit
  }

  func contains(_ event: ViewFold.LateEvent) -> Bool {
    event.offset >= start && event.offset < end && event.eventTime >= from && event.eventTime < to
  }
}

extension LateEvent {
  init(_ partition: PartitionID, _ event: ViewFold.LateEvent) {
    self.init(
      partition: partition, offset: event.offset, time: Timestamp(nanoseconds: event.eventTime),
      windowStart: Timestamp(nanoseconds: event.windowStart))
  }
}

extension CheckpointStore {
  func late(_ id: GenerationID, _ range: LateRange) async throws(ComputeError) -> [LateEvent] {
    do {
      return try await file.read { db in
        try db.rows(
          """
          SELECT offset, event_time, window_start FROM late
          WHERE view = (SELECT id FROM view WHERE name = ? AND generation = ?) AND partition = ?
            AND offset >= ? AND offset < ? AND event_time >= ? AND event_time < ?
          ORDER BY offset LIMIT ?
          """, id.view, id.number, range.partition.index, range.start.rawValue, range.end.rawValue, range.from, range.to,
          range.limit
        ) { row in
          LateEvent(
            range.partition,
            ViewFold.LateEvent(offset: Offset(row.int64(0)), eventTime: row.int64(1), windowStart: row.int64(2)))
        }
      }
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }
}
