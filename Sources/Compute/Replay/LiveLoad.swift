import Synchronization

/// The state that a worker and its replays share.
final class LiveLoad: Sendable {
  private let busy = Atomic<Bool>(false)
  private let replaying = Atomic<Bool>(false)

  /// Whether the worker has live events to fold now: replays yield to it.
  var isBusy: Bool { busy.load(ordering: .relaxed) }
  func note(isBusy: Bool) { busy.store(isBusy, ordering: .relaxed) }

  /// Whether replays hold rows in memory.
  var isReplaying: Bool { replaying.load(ordering: .relaxed) }
  func note(isReplaying: Bool) { replaying.store(isReplaying, ordering: .relaxed) }
}
