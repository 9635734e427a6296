import Synchronization
import UnixSignals

/// Waits for the signal that ends a process in order: SIGTERM or SIGINT, trapped from initialisation on.
final class ShutdownSignal: Sendable {
  private let arrival: Task<Void, Never>
  private let arrived: ArrivedFlag

  private final class ArrivedFlag: Sendable {
    let value = Atomic<Bool>(false)
  }

  init() async {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    let arrived = ArrivedFlag()
    self.arrived = arrived
    arrival = Task {
      for await _ in signals { break }
      arrived.value.store(true, ordering: .releasing)
    }
  }

  var hasArrived: Bool { arrived.value.load(ordering: .acquiring) }

  func wait() async { await arrival.value }

  /// Runs `body`, cancelled when the signal comes.
  func cancelling<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
    let task = Task(operation: body)
    // This task ends with the process at the latest; cancelling an ended task does nothing.
    Task {
      await arrival.value
      task.cancel()
    }
    return try await task.value
  }
}
