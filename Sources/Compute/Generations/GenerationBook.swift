import Events
import Logging
import Synchronization
import Views

/// The table of generations as it is stored: every change is one step there, done before anybody sees it. So at whatever instant the process
/// dies, each view has one live generation.
///
/// One process alone stores it in the first worker's file, in one transaction. Several store it where all reach it (`SharedGenerations`),
/// replaced only while it is still what was read; the file then has a copy, should that place ever lose it.
actor GenerationBook {
  /// Others may be faster; not for ever.
  private static let attemptsMax = 16

  struct Page: Sendable {
    var table: GenerationTable
    /// As shared; 0 where it is not.
    var version: UInt64
  }

  private let store: CheckpointStore
  private let shared: (any SharedGenerations)?
  private let logger: Logger
  private let executor = WorkerExecutor(label: "penstock.generations")
  /// As last stored; readable from anywhere.
  nonisolated let current: Mutex<Page>

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  nonisolated var table: GenerationTable { current.withLock { $0.table } }
  nonisolated var version: UInt64 { current.withLock { $0.version } }

  init(store: CheckpointStore, shared: (any SharedGenerations)?, logger: Logger) throws(ComputeError) {
    self.store = store
    self.shared = shared
    self.logger = logger
    let table = try store.loadGenerations()
    for (id, reason) in table.setAside.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      logger.error("\(id) is set aside, the other views go on: its definition does not read: \(reason)")
    }
    current = Mutex(Page(table: table, version: 0))
  }

  /// Stores the table as `body` leaves it. With a shared table, `body` is called again when another instance was faster.
  /// - Precondition: One change or refresh at a time.
  func change<R: Sendable>(
    _ body: @Sendable (inout GenerationTable) throws(ViewStoreError) -> R
  ) async throws(ViewStoreError) -> R {
    guard let shared else {
      var changed = table
      let result = try body(&changed)
      guard changed != table else { return result }
      do throws(ComputeError) { try store.save(changed) } catch { throw .failed(error.description) }
      turn(to: Page(table: changed, version: 0))
      return result
    }
    for _ in 0..<GenerationBook.attemptsMax {
      let before = current.withLock { $0 }
      var changed = before.table
      let result = try body(&changed)
      guard changed != before.table else { return result }
      if try await publish(changed, over: before.version, in: shared) { return result }
      try await refresh()
    }
    throw .unavailable("other compute instances keep changing the generations")
  }

  /// Takes the newest shared table.
  /// - Precondition: One change or refresh at a time.
  func refresh() async throws(ViewStoreError) {
    guard let shared else { return }
    guard let newest = try await shared.load() else {
      // None yet, or lost: what is known here is the best there is. Should another be faster, its table is the next to be seen.
      _ = try await publish(table, over: 0, in: shared)
      return
    }
    guard newest.version != version else { return }
    guard let table = GenerationTable(text: newest.text) else {
      throw .failed("the shared table of generations does not read: was it written by another version?")
    }
    turn(to: Page(table: table, version: newest.version))
    keepCopy(of: table)
  }

  /// - Returns: False when another version is there by now.
  private func publish(
    _ table: GenerationTable, over version: UInt64, in shared: any SharedGenerations
  ) async throws(ViewStoreError) -> Bool {
    let text = table.text
    guard text.utf8.count <= SharedText.bytesMax else {
      throw .refused(
        code: "too_many_generations",
        detail: "the table of generations would have more than \(SharedText.bytesMax) bytes: drop generations first")
    }
    guard let version = try await shared.replace(text, version: version) else { return false }
    turn(to: Page(table: table, version: version))
    keepCopy(of: table)
    return true
  }

  private func turn(to page: Page) { current.withLock { $0 = page } }

  private func keepCopy(of table: GenerationTable) {
    do throws(ComputeError) { try store.save(table) } catch {
      logger.warning("the copy of the shared table of generations is not written: \(error)")
    }
  }
}
