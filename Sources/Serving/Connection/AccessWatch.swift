import Events
import NIOCore

/// Watches whether the reader of a long answer still has access: until its token expires, and with each change of
/// tokens and keys. Belongs to the connection's event loop.
final class AccessWatch {
  /// The reason why the answer may not go on; nil while it may.
  private(set) var denial: AccessDenial?
  private let access: StandingAccess
  private let denied: () -> Void
  private var expiry: Scheduled<Void>?
  private var observation: AccessObservation?

  /// - Parameter denied: Called once.
  init(_ access: StandingAccess, on eventLoop: any EventLoop, denied: @escaping () -> Void) {
    self.access = access
    self.denied = denied
    let bound = NIOLoopBound(WeakWatch(watch: self), eventLoop: eventLoop)
    if let end = access.expiry {
      let left = TimeAmount.nanoseconds(max(0, end.nanoseconds - Timestamp.systemNow().nanoseconds))
      expiry = eventLoop.scheduleTask(in: left) { bound.value.watch?.deny(.expired) }
    }
    observation = access.observe {
      eventLoop.execute {
        guard let watch = bound.value.watch, let denial = watch.access.denial else { return }
        watch.deny(denial)
      }
    }
    // Tokens or keys may have changed since the answer was admitted.
    guard let denial = access.denial else { return }
    eventLoop.execute { bound.value.watch?.deny(denial) }
  }

  deinit { expiry?.cancel() }

  private func deny(_ denial: AccessDenial) {
    guard self.denial == nil else { return }
    self.denial = denial
    denied()
  }

  private struct WeakWatch {
    weak var watch: AccessWatch?
  }
}
