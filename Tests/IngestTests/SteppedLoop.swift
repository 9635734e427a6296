import Synchronization

@testable import Ingest

/// A loop whose turns the test takes, on its own thread.
final class SteppedLoop: ConnectionLoop {
  private let work = Mutex<[@Sendable () -> Void]>([])

  var isCurrent: Bool { true }
  var turnTime: UInt64? { nil }
  func execute(_ work: @escaping @Sendable () -> Void) { self.work.withLock { $0.append(work) } }

  /// Runs what has been given to the loop by now; what that gives to it runs in the next turn.
  /// - Returns: False if there was nothing to do.
  @discardableResult
  func turn() -> Bool {
    let ready = work.withLock { work in
      defer { work = [] }
      return work
    }
    for work in ready { work() }
    return !ready.isEmpty
  }

  /// Takes turns until there is nothing to do.
  func run() { while turn() {} }
}
