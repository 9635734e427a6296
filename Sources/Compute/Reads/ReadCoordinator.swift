import Events
import Expressions
import Views

/// Answers for the partitions that are here: asks the workers for what they hold at a moment, and reads it.
///
/// It holds only the addressees. A read looks up its generation twice, before and after it asks the workers: rows of a
/// generation that was dropped meanwhile, or of a partition that was let go, may not be whole.
public final class ReadCoordinator: Sendable {
  /// The most rows that an event loop may read and write in one go.
  static let rowsAtOnceMax = 256

  let partitions: PartitionOwnership
  let book: GenerationBook
  let log: any EventLog
  let past: PastReader
  let refusal: Refusal
  private let horizons: RetentionHorizons

  init(
    _ partitions: PartitionOwnership, book: GenerationBook, log: any EventLog, past: PastReader, refusal: Refusal,
    horizons: RetentionHorizons
  ) {
    self.partitions = partitions
    self.book = book
    self.log = log
    self.past = past
    self.refusal = refusal
    self.horizons = horizons
  }

  // MARK: the request

  typealias Wanted = (record: GenerationRecord, partitions: Set<PartitionID>, range: RowRange)

  /// The generation and offsets of a request, once the offsets it waits for are counted.
  private nonisolated(nonsending) func begin(_ request: ViewReadRequest) async throws(ViewStoreError) -> Wanted {
    let record = try find(request.view, request.generation)
    let deadline = ContinuousClock.now + request.timeout
    let wanted = try partitions.wanted(request.partitions, allowsPartial: request.allowsPartial)
    if let after = request.after {
      for worker in partitions.workers {
        guard await worker.wait(record.id, for: after, timeout: max(.zero, deadline - .now)) else {
          let reached = await partitions.counted(of: record.id)
          // A worker does not wait for a generation that still builds, or has an end.
          if reached.reaches(after) { continue }
          throw .timeout(reached: reached)
        }
      }
    }
    let key = request.key ?? request.keyFilter?.pointKey(record.definition.keys.map(\.name))?.key
    return (record, wanted, range(request, key, record.definition))
  }

  func find(_ view: String, _ generation: Int?) throws(ViewStoreError) -> GenerationRecord {
    // This comes first: another log's folder may have no views.
    try refusal.check()
    return try book.table.find(view, generation)
  }

  private func range(_ request: ViewReadRequest, _ key: [UInt8]?, _ definition: ViewDefinition) -> RowRange {
    var range = RowRange(key: key)
    // A joined session may begin before its parts within the bounds: the sessions are known when all parts have been
    // joined. Only a caller that wants no rows, but to learn about the view, gets none.
    let isBounded = !definition.joinsSessions(keptKeys: nil) || request.from?.nanoseconds ?? .min >= .max - 1
    if isBounded, let from = request.from?.nanoseconds { range.from = from }
    if isBounded, let to = request.to?.nanoseconds {
      // No time lies before the first.
      if to == .min { range.from = .max }
      range.through = to == .min ? .min : to - 1
    }
    // All events of a source are in its own partition.
    if let key, let source = definition.keys.firstIndex(where: { $0.path == .attribute("source") }),
      case .string(let name)? = key.withUnsafeBytes({ KeyCodec.decode($0) })?[source]
    {
      range.home = log.partition(of: name)
    }
    return range
  }

  // MARK: moments

  /// The present moment of generations of one view: what counts along with the live one is as of the same offsets.
  /// - Parameter isPaced: Whether a reader takes its time with the rows: then it waits for no other read, and none for it.
  nonisolated(nonsending) func snapshots(
    _ records: [GenerationRecord], _ wanted: Set<PartitionID>, _ range: RowRange, isPaced: Bool = false
  ) async throws(ViewStoreError) -> [ReadSnapshot] {
    var snapshots = records.map { ReadSnapshot($0) }
    for worker in partitions.workers {
      let mine = partitions.share(of: worker, wanted)
      guard !mine.isEmpty else { continue }
      for (index, one) in try await whole(records, mine, range, worker, isPaced).enumerated() { snapshots[index].append(one) }
    }
    // If a generation was dropped, or a partition released, while the moments were taken, they may not be complete. Pinned files
    // stay.
    for record in records { _ = try find(record.definition.name, record.number) }
    _ = try partitions.wanted(wanted)
    return snapshots
  }

  /// For an instant, a fold may be between a replay and its worker: then it is looked for again.
  private func whole(
    _ records: [GenerationRecord], _ mine: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker, _ isPaced: Bool
  ) async throws(ViewStoreError) -> [ReadSnapshot] {
    for _ in 0..<100 {
      do throws(ComputeError) {
        let taken = try await snapshots(records, mine, range, worker, isPaced)
        if taken.allSatisfy({ $0.head.asOf.offsets.count == mine.count }) { return taken }
      } catch {
        throw .failed(error.description)
      }
      // Cancelled: the partitions are looked for without a pause, not for ever.
      try? await Task.sleep(for: .milliseconds(1))
      try refusal.check()
      _ = try partitions.wanted(mine)
    }
    throw .unavailable("a generation's partitions are just being loaded")
  }

  /// The present rows of the worker and its replays. The file is pinned only where it is needed; the first try is then nil.
  private func snapshots(
    _ records: [GenerationRecord], _ mine: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker, _ isPaced: Bool
  ) async throws(ComputeError) -> [ReadSnapshot] {
    let file = worker.store.file
    var taken = try await worker.snapshots(records, mine, range, pin: nil)
    if taken == nil {
      taken = try await worker.snapshots(records, mine, range, pin: isPaced ? file.pin() : await file.pinInTurn())
    }
    var snapshots = taken ?? []
    for (index, record) in records.enumerated() where snapshots[index].head.asOf.offsets.count < mine.count {
      let missing = mine.filter { snapshots[index].head.asOf[$0] == nil }
      var replayed = try await worker.replays.snapshot(record, missing, range, pin: nil)
      if replayed == nil { replayed = try await worker.replays.snapshot(record, missing, range, pin: file.pin()) }
      if let replayed { snapshots[index].append(replayed) }
    }
    return snapshots
  }

  // MARK: one key

  /// The rows of one key; nil when some are in memory and in a file both, or a fold is not its worker's.
  private nonisolated(nonsending) func point(_ wanted: Wanted) async throws(ViewStoreError) -> PartialResult? {
    var point = PointRead(wanted.record, wanted.range)
    for worker in partitions.workers {
      let mine = partitions.share(of: worker, wanted.partitions)
      guard !mine.isEmpty else { continue }
      var taken = worker.pointAtOnce(wanted.record, mine, wanted.range)
      if taken == nil { taken = await worker.point(wanted.record, mine, wanted.range) }
      guard var taken else { return nil }
      do throws(ComputeError) { guard try await taken.complete(from: worker.store) else { return nil } } catch {
        throw .failed(error.description)
      }
      point.append(taken)
    }
    // If a generation was dropped, or a partition released, while the rows were read, they may not be complete.
    _ = try find(wanted.record.definition.name, wanted.record.number)
    _ = try partitions.wanted(wanted.partitions)
    return point.result
  }

  /// Repeats a read during which a partition was released: a caller that accepts missing partitions gets the others.
  private func whilePartitionsMove<Read>(
    _ request: ViewReadRequest, _ read: () async throws(ViewStoreError) -> Read
  ) async throws(ViewStoreError) -> Read {
    for _ in 0..<3 {
      do throws(ViewStoreError) { return try await read() } catch {
        guard request.allowsPartial, case .missingPartitions = error else { throw error }
      }
    }
    return try await read()
  }
}

extension ReadCoordinator: ViewStore {
  public nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    let deadline = ContinuousClock.now + request.timeout
    return try await whilePartitionsMove(request) { () throws(ViewStoreError) in
      let wanted = try await begin(request)
      var result = try await rows(wanted, asOf: request.asOf, deadline: deadline)
      if request.allowsPartial {
        result.missing = (request.partitions ?? partitions.all).subtracting(wanted.partitions).sorted()
      }
      return result
    }
  }

  private nonisolated(nonsending) func rows(
    _ wanted: Wanted, asOf: OffsetVector?, deadline: ContinuousClock.Instant
  ) async throws(ViewStoreError) -> PartialResult {
    if let asOf { return try await read(wanted.record, asOf: asOf, wanted.partitions, wanted.range, deadline: deadline) }
    if wanted.range.key != nil, let result = try await point(wanted) { return result }
    return try await read([wanted.record], wanted.partitions, wanted.range)[0]
  }

  /// Pages of the present rows, all of one moment.
  nonisolated(nonsending) func read(
    _ records: [GenerationRecord], _ wanted: Set<PartitionID>, _ range: RowRange
  ) async throws(ViewStoreError) -> [PartialResult] {
    var results: [PartialResult] = []
    for snapshot in try await snapshots(records, wanted, range) {
      results.append(try await snapshot.result(through: range.through))
    }
    return results
  }

  public func readAtOnce(_ request: ViewReadRequest) -> PartialResult? {
    guard let key = request.key, request.asOf == nil, !request.allowsPartial, request.partitions == nil,
      let record = book.table.live(request.view), request.generation ?? record.number == record.number, refusal.reason == nil
    else { return nil }
    let range = range(request, key, record.definition)
    var point = PointRead(record, range)
    for worker in partitions.workers {
      guard var taken = worker.pointAtOnce(record, nil, range), taken.completeAtOnce(from: worker.store) else { return nil }
      point.append(taken)
      guard point.read.rows.count <= ReadCoordinator.rowsAtOnceMax else { return nil }
    }
    // A partition may be on its way from one process to another.
    guard point.read.asOf.offsets.count == log.partitionCount, request.after.map({ point.read.asOf.reaches($0) }) ?? true,
      partitions.ownsAll
    else { return nil }
    return point.result
  }

  /// The present rows, read from the workers' files as they are asked for.
  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    guard let (snapshot, wanted) = try await snapshot(request) else { return nil }
    let reader = SnapshotReader(snapshot, through: wanted.range.through)
    return RowStream(head: snapshot.head, pieces: MergedPieces(definition: snapshot.head.definition, reader: reader))
  }

  /// The moment that a stream is of; nil where all rows must be known first.
  nonisolated(nonsending) func snapshot(
    _ request: ViewReadRequest
  ) async throws(ViewStoreError) -> (snapshot: ReadSnapshot, wanted: Wanted)? {
    guard request.asOf == nil else { return nil }
    return try await whilePartitionsMove(request) { () throws(ViewStoreError) in
      let wanted = try await begin(request)
      guard !wanted.record.definition.joinsSessions(keptKeys: nil) else { return nil }
      return (try await snapshots([wanted.record], wanted.partitions, wanted.range, isPaced: true)[0], wanted)
    }
  }

  // MARK: status

  public nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    try refusal.checkLog()
    let table = book.table
    var result: [ViewStatus] = []
    for view in table.viewNames {
      guard let live = table.live(view) else { continue }
      result.append(
        ViewStatus(
          definition: live.definition, generation: live.number, partitions: await partitions.progress(of: live.id)))
    }
    return result
  }

  public func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp) {
    let id = GenerationID(view: view, number: generation)
    guard book.table[id] != nil else { return }
    horizons.noteSlowest(id, eventTimeWatermark)
  }

  public nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] {
    let table = book.table
    // Partitions that are handed over, or whose lease is not certain, are read as of their last checkpoint; if two workers have
    // one on disk, the further one counts.
    let answered = partitions.answered
    var tallies: [ViewTally] = []
    for view in table.viewNames {
      guard let live = table.live(view) else { continue }
      var tally = ViewTally(view: view, generation: live.number, partitions: [])
      for worker in partitions.workers {
        do throws(ComputeError) {
          tally.partitions += try await worker.store.tallies.tallies(of: live).filter { answered.contains($0.partition) }
        } catch {
          throw .failed(error.description)
        }
      }
      tally.partitions.sort { $0.partition < $1.partition }
      tallies.append(tally)
    }
    return tallies
  }
}
