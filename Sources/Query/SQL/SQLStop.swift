import CSQLite
import Synchronization

/// Tells a statement to end: its time is up, or its caller has left.
final class SQLStop: Sendable {
  private struct State {
    var isCancelled = false
    /// A connection's address, valid while it is here; 0 for none.
    var connection: UInt = 0
  }

  let deadline: ContinuousClock.Instant
  private let state = Mutex(State())

  init(deadline: ContinuousClock.Instant) { self.deadline = deadline }

  /// From now on `cancel` interrupts the connection's statement, until `release`.
  func take(_ connection: OpaquePointer) {
    let address = UInt(bitPattern: connection)
    state.withLock { $0.connection = address }
  }

  /// The connection is about to be closed.
  func release() { state.withLock { $0.connection = 0 } }

  /// May be called from any thread.
  func cancel() {
    state.withLock { state in
      state.isCancelled = true
      if let connection = OpaquePointer(bitPattern: state.connection) { sqlite3_interrupt(connection) }
    }
  }

  var isSet: Bool { ContinuousClock.now >= deadline || state.withLock { $0.isCancelled } }
}
