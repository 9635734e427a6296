import NIOCore
import Synchronization

/// Cancels what is being answered when whoever asked has closed the connection.
final class ClientDepartures: Sendable {
  /// What runs for each connection that has asked something long: at most one request at a time.
  private let running = Mutex<[ObjectIdentifier: Running]>([:])

  private struct Running: Sendable {
    var cancel: (@Sendable () -> Void)?
  }

  /// Runs `body`, cancelled when the channel closes or the caller is cancelled.
  func run<R: Sendable>(on channel: any Channel, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let id = ObjectIdentifier(channel)
    let task = Task { try await body() }
    let isNew = running.withLock { $0.updateValue(Running { task.cancel() }, forKey: id) == nil }
    if isNew {
      channel.closeFuture.whenComplete { _ in
        let running = self.running.withLock { $0.removeValue(forKey: id) }
        running?.cancel?()
      }
    }
    defer { running.withLock { $0[id]?.cancel = nil } }
    return try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }
}
