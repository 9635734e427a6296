import Events
import Synchronization
import Views

/// The table of generations as it is on disk: every change is one transaction in the first worker's file, done before anybody sees it. So at
/// whatever instant the process dies, each view has one live generation.
actor GenerationBook {
  private let store: CheckpointStore
  private let executor = WorkerExecutor(label: "penstock.generations")
  /// As last stored; readable from anywhere.
  nonisolated let current: Mutex<GenerationTable>

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  nonisolated var table: GenerationTable { current.withLock { $0 } }

  init(store: CheckpointStore) throws(ComputeError) {
    self.store = store
    current = Mutex(try store.loadGenerations())
  }

  /// Stores the table as `body` leaves it.
  func change<R: Sendable>(_ body: @Sendable (inout GenerationTable) throws(ViewStoreError) -> R) throws(ViewStoreError) -> R {
    let before = table
    var changed = before
    let result = try body(&changed)
    guard changed != before else { return result }
    do throws(ComputeError) { try store.save(changed) } catch { throw .failed(error.description) }
    let after = changed
    current.withLock { $0 = after }
    return result
  }
}
