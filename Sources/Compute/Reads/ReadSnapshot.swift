import Aggregates
import Events
import SQLite
import Views

/// The rows of one generation's folds at one moment: a copy of those in memory, and which rows of the file belong to them.
///
/// The copy is made and the file is pinned in the same turn of the worker, so the two together are the rows at `asOf`, whatever
/// is folded, stored or dropped later.
struct ReadSnapshot: Sendable {
  /// The facts about all rows, without rows.
  private(set) var head: PartialResult
  private(set) var folds: [FoldSnapshot] = []

  init(_ record: GenerationRecord) { head = PartialResult(record) }

  /// Generations are taken together: of the same worker's partitions, as of the same offsets where they count along with each
  /// other.
  /// - Returns: One for each; nil when a pin is needed and none is given.
  static func take(
    _ generations: [(record: GenerationRecord, folds: [GenerationFold])], _ range: RowRange, pin: StatePin?,
    _ store: CheckpointStore, _ active: (PartitionID) -> ActiveSources
  ) throws(ComputeError) -> [ReadSnapshot]? {
    if generations.contains(where: { $0.folds.contains { $0.needsFile(range) } }) {
      guard let pin else { return nil }
      try store.file.typed { try pin.begin() }
    }
    let file = pin.map { (pin: $0, store: store) }
    return generations.map { record, folds in
      var snapshot = ReadSnapshot(record)
      for fold in folds { snapshot.add(fold, range, file, active(fold.partition)) }
      return snapshot
    }
  }

  /// - Parameter file: As of now; nil where the fold has no rows of the range in it.
  mutating func add(
    _ fold: GenerationFold, _ range: RowRange, _ file: (pin: StatePin, store: CheckpointStore)?, _ active: ActiveSources
  ) {
    head.note(fold, active)
    guard let kept = fold.kept(range) else { return }
    let stored = fold.stored(range)
    precondition(stored == nil || file != nil, "rows that lie in the file are read with it")
    let slots = head.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    var one = FoldSnapshot(partition: fold.partition, from: kept.lowerBound, rows: PartialRows(stride: head.rows.stride))
    if fold.sharesRows(range) {
      fold.box.fold.copyRows(slots, key: range.key, into: &one.rows, isPartial: &one.isPartial)
    } else {
      fold.box.fold.copyRows(slots, key: range.key, into: &one.rows)
    }
    let sources = fold.sourcesAtRead
    if let file, let sources, sources.times.mayBeInFile {
      one.sources = PinnedSources(sources: sources, pin: file.pin, worker: file.store.worker)
    } else {
      fold.fillSourceWatermarks(&one.rows)
    }
    if let stored, let file { one.stored = PinnedRange(range: stored, pin: file.pin, store: file.store, sources: sources) }
    folds.append(one)
  }

  /// - Parameter other: A snapshot of the same generation and other partitions.
  mutating func append(_ other: ReadSnapshot) {
    precondition(other.head.asOf.offsets.keys.allSatisfy { head.asOf[$0] == nil }, "a partition's rows are of one moment")
    head.append(other.head)
    folds += other.folds
  }

  /// A page: all rows, as a stream would give them.
  /// - Parameter through: The last window start that is wanted.
  func result(through: Int64) async throws(ViewStoreError) -> PartialResult {
    var reader = SnapshotReader(self, through: through)
    var result = head
    result.rows = try await reader.drain()
    return result
  }
}

extension PartialResult {
  /// A result of no partition yet.
  init(_ record: GenerationRecord) {
    self.init(
      definition: record.definition, generation: record.number, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: record.definition.layout.stride))
  }

  /// A fold's rows are among these, as it is now.
  mutating func note(_ fold: GenerationFold, _ active: ActiveSources) {
    precondition(asOf[fold.partition] == nil, "a partition's rows are of one fold")
    asOf[fold.partition] = fold.next
    if let time = fold.box.fold.eventTimeWatermark { eventTimeWatermarks[fold.partition] = time }
    if let sources = fold.sources {
      switch sources.clocks.slowest(idle: active.idle, now: active.now) {
      case .none: break
      case .time(let time):
        slowestSources[fold.partition] = Timestamp(nanoseconds: definition.eventTimeWatermark(ofLargest: time))
      case .unknown: slowestSources[fold.partition] = Timestamp(nanoseconds: .min)
      }
    }
    // Where a row has other parts, which may be gone.
    guard !definition.hasSourceKey, let end = fold.box.fold.droppedEnd else { return }
    droppedEnd = max(end, droppedEnd ?? end)
  }
}

/// One partition's rows at a moment.
struct FoldSnapshot: Sendable {
  let partition: PartitionID
  /// The first window start that is wanted.
  let from: Int64
  /// The rows in memory, in no order.
  var rows: PartialRows
  /// One flag a row in memory: whether the file may have more of it. Empty when it has more of none.
  var isPartial: [Bool] = []
  /// Nil when nothing is in the file.
  var stored: PinnedRange?
  /// The sources of the rows in memory that are in the file only; nil where there can be none.
  var sources: PinnedSources?
}

extension GenerationFold {
  /// The sources as they are now, for rows of the file that are read later; nil where rows say nothing of theirs.
  var sourcesAtRead: SourcesAtRead? {
    guard box.fold.definition.hasSourceWatermarks, let sources else { return nil }
    return SourcesAtRead(times: sources.clocks.snapshot(), clock: sources.id)
  }

  /// Whether a read needs the file: for rows, or for their sources.
  func needsFile(_ range: RowRange) -> Bool {
    stored(range) != nil || box.fold.definition.hasSourceWatermarks && sources?.clocks.mayBeInFile == true && kept(range) != nil
  }

  /// Gives rows in memory the event-time watermarks of their sources, as they are now. A source that only the file knows counts
  /// as one that has not come far.
  func fillSourceWatermarks(_ rows: inout PartialRows) {
    guard let clocks = sources?.clocks else { return }
    let definition = box.fold.definition
    rows.fillSourceWatermarks(of: definition) { source in
      clocks.time(of: source).map { definition.eventTimeWatermark(ofLargest: $0) } ?? .min
    }
  }
}

/// The event times of a partition's sources at one moment: those in memory, and which of the file's belong to them.
struct SourcesAtRead: Sendable {
  let times: SourceTimes
  /// The clocks' id in the file.
  let clock: Int64?

  /// Gives rows the event-time watermarks of their sources.
  /// - Parameter db: The file as it was at that moment.
  func fill(_ rows: inout PartialRows, of definition: ViewDefinition, _ db: SQLiteConnection) throws {
    var failure: (any Error)?
    // One for all rows: where sources ascend, each block is read once.
    var lookup: SourceLookup?
    rows.fillSourceWatermarks(of: definition) { source in
      do {
        let time = try times.time(of: source) ?? stored(source, &lookup, db)
        return time.map { definition.eventTimeWatermark(ofLargest: $0) } ?? .min
      } catch {
        failure = error
        return .min
      }
    }
    if let failure { throw failure }
  }

  private func stored(
    _ source: UnsafeRawBufferPointer, _ lookup: inout SourceLookup?, _ db: SQLiteConnection
  ) throws -> Int64? {
    guard times.mayBeInFile, let clock else { return nil }
    if lookup == nil { lookup = try SourceLookup(db, clock: clock) }
    return try lookup?.find(source)?.time
  }
}

/// The sources of rows in memory, with the file as it was at that moment.
struct PinnedSources: Sendable {
  let sources: SourcesAtRead
  let pin: StatePin
  let worker: Int

  func fill(_ rows: PartialRows, of definition: ViewDefinition) async throws(ComputeError) -> PartialRows {
    do {
      return try await pin.read { [sources] db, _ in
        var rows = rows
        try sources.fill(&rows, of: definition, db)
        return rows
      }
    } catch {
      throw CheckpointFile.failure(error, worker)
    }
  }
}
