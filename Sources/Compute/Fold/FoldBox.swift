import Aggregates
import Events
import Views

/// Holds a fold where a collection of folds is needed. Belongs to one worker, which is an actor.
///
/// Invariant for `@unchecked`: at any time one actor has it and uses it. An actor that hands it on does not use it
/// afterwards: loading to a worker or a replay, a replay to its worker when it has caught up.
final class FoldBox: @unchecked Sendable {
  var fold: ViewFold
  /// The next offset on disk: the log must keep the events from here on.
  private(set) var savedOffset: Offset

  init(_ fold: consuming ViewFold) {
    savedOffset = fold.progress.nextOffset
    self.fold = fold
  }

  /// Its rows are on disk.
  func checkpointed() {
    fold.checkpointed()
    savedOffset = fold.progress.nextOffset
  }
}
