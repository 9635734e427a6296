import Synchronization

/// Whether a worker has live events to fold just now: what replays beside it yield to.
final class LiveLoad: Sendable {
  private let busy = Atomic<Bool>(false)

  func note(isBusy: Bool) { busy.store(isBusy, ordering: .relaxed) }
  var isBusy: Bool { busy.load(ordering: .relaxed) }
}
