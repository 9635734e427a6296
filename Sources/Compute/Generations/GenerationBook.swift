import Events
import Logging
import Synchronization
import Views

/// The stored table of generations: every change is one entry of the record of views, which lies with the log, done before
/// anybody sees it. So at whatever instant the process dies, each view has one live generation, and the log alone brings all of
/// them back.
///
/// If there are several compute processes, each reads the record and appends to it; an entry is accepted only as the one after
/// those that its writer has read. The first worker's file has a copy of the table, from which a record begins where there is
/// none.
actor GenerationBook {
  /// Bounds the tries that lose to faster processes.
  private static let attemptsMax = 16
  private static let readBytes = 4 << 20

  struct Page: Sendable {
    var table: GenerationTable
    /// The number of the record's entries that the table is made of.
    var count: Int
  }

  private let record: any ViewsRecord
  private let store: CheckpointStore
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let executor = WorkerExecutor(label: "penstock.generations")
  /// The table as last stored; readable from anywhere.
  nonisolated let current = Mutex(Page(table: GenerationTable(), count: 0))

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  nonisolated var table: GenerationTable { current.withLock { $0.table } }
  nonisolated var count: Int { current.withLock { $0.count } }

  init(record: any ViewsRecord, store: CheckpointStore, now: @escaping @Sendable () -> Timestamp, logger: Logger) {
    self.record = record
    self.store = store
    self.now = now
    self.logger = logger
  }

  /// Takes in what others share, and what the file of views says: tries until the place where generations are kept answers, or
  /// the task is cancelled.
  /// - Parameter hold: Generations that changed definitions begin wait to be promoted.
  func open(with catalog: ViewCatalog, hold: Bool, known: [KnownGeneration]) async throws(ViewStoreError) {
    let time = now()
    while true {
      do throws(ViewStoreError) {
        try await open()
        return tellRemoved(
          try await change { table throws(ViewStoreError) in try table.load(catalog, hold: hold, known: known, at: time) })
      } catch {
        guard case .unavailable = error, !Task.isCancelled else { throw error }
        logger.info("\(error); it is tried again")
        // Cancelled: the next round fails and is the last.
        try? await Task.sleep(for: .milliseconds(500))
      }
    }
  }

  /// Reads the record, or begins it with the first worker's copy.
  private func open() async throws(ViewStoreError) {
    try await refresh()
    while count == 0 {
      let copy: GenerationTable
      do throws(ComputeError) { copy = try store.generationCopy.load() } catch { throw .failed(error.description) }
      tellSetAside(copy, before: GenerationTable())
      let events = GenerationTable().events(to: copy)
      guard !events.isEmpty else { return }
      logger.notice("the record of views begins with the \(copy.records.count) generations that \(store.file.path) has")
      if try await append(events, to: Page(table: GenerationTable(), count: 0)) { return }
      try await refresh()
    }
  }

  /// Shows the first worker's copy only: where nothing may be counted, the views can still be listed.
  func openCopy() throws(ComputeError) { turn(to: Page(table: try store.generationCopy.load(), count: 0)) }

  /// Stores the table as `body` leaves it. `body` is called again when another process was faster.
  /// - Precondition: One change or refresh at a time.
  func change<R: Sendable>(
    _ body: @Sendable (inout GenerationTable) throws(ViewStoreError) -> R
  ) async throws(ViewStoreError) -> R {
    for _ in 0..<GenerationBook.attemptsMax {
      let before = current.withLock { $0 }
      var changed = before.table
      let result = try body(&changed)
      let events = before.table.events(to: changed)
      if events.isEmpty { return result }
      if try await append(events, to: before) { return result }
      try await refresh()
    }
    throw .unavailable("other compute instances keep changing the generations")
  }

  /// Takes in the changes that other processes have recorded.
  /// - Precondition: One change or refresh at a time.
  /// - Throws: `.unusable` when the record belongs to another log.
  func refresh() async throws(ViewStoreError) {
    var page = current.withLock { $0 }
    let before = page
    while true {
      let entries: [[UInt8]]
      do throws(LogError) {
        entries = try await record.entries(from: page.count, bytesMax: GenerationBook.readBytes)
      } catch {
        throw ViewStoreError(record: error)
      }
      if entries.isEmpty { break }
      for bytes in entries {
        guard let entry = ViewsEntry(parsing: bytes) else {
          throw .failed("entry \(page.count) of the record of views does not read: was it written by another version?")
        }
        for event in entry.events { page.table.apply(event) }
        page.count += 1
      }
    }
    guard page.count > before.count else { return }
    tellSetAside(page.table, before: before.table)
    turn(to: page)
  }

  /// Returns when the record has entries that are not read yet, or the task is cancelled.
  nonisolated(nonsending) func waitForOthers() async throws(LogError) { try await record.waitForEntry(past: count) }

  /// - Returns: False when the record has another entry with that number by now.
  private func append(_ events: [ViewsEvent], to page: Page) async throws(ViewStoreError) -> Bool {
    let entry = ViewsEntry(at: now(), events: events).bytes
    guard entry.count <= ViewsRecordLimits.entryBytesMax else {
      throw .refused(
        code: "change_too_large",
        detail:
          "the change would have more than \(ViewsRecordLimits.entryBytesMax) bytes in the record of views: apply fewer views at once"
      )
    }
    do throws(LogError) {
      guard try await record.append(entry, as: page.count) else { return false }
    } catch {
      throw ViewStoreError(record: error)
    }
    var page = page
    for event in events { page.table.apply(event) }
    page.count += 1
    turn(to: page)
    return true
  }

  private func turn(to page: Page) {
    current.withLock { $0 = page }
    do throws(ComputeError) { try store.generationCopy.save(page.table) } catch {
      logger.warning("the copy of the table of generations is not written: \(error)")
    }
  }

  nonisolated func tellRemoved(_ loaded: [AppliedView]) {
    for one in loaded where one.action == .removed {
      logger.notice(
        """
        view \(one.view) is in the file of views and stays removed: `penstock view apply` brings it back, as does a change of its \
        definition in the file
        """)
    }
  }

  private func tellSetAside(_ table: GenerationTable, before: GenerationTable) {
    for (id, reason) in table.setAside.sorted(by: { "\($0.key)" < "\($1.key)" }) where before.setAside[id] == nil {
      logger.error("\(id) is set aside, the other views go on: its definition does not read: \(reason)")
    }
  }
}

extension ViewStoreError {
  fileprivate init(record error: LogError) {
    switch error.code {
    case .unavailable, .diskFull: self = .unavailable("the record of views: \(error)")
    default: self = .failed("the record of views: \(error)")
    }
  }
}
