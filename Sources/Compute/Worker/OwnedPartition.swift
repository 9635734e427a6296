import Events
import Views

/// A partition that a worker owns: its folds, which are read together, and what is known of its sources.
struct OwnedPartition {
  let partition: PartitionID
  var folds: [GenerationFold] = []
  /// The clocks of all of the partition's sources, as far back as any fold here has them. Folds that are as far share them.
  var sources: SourceBox
  /// Whether nothing was left to read when it was read last.
  var isCaughtUp = false
  /// The reason why the partition is not read.
  private(set) var failure: String?

  init(_ partition: PartitionID, _ folds: [GenerationFold] = [], sources: SourceBox) {
    self.partition = partition
    self.folds = folds
    self.sources = sources
    shareSources()
  }

  /// The offset to read on from: where the fold or clock is that is furthest behind. Nil when there is nothing to read for.
  var next: Offset? {
    guard failure == nil else { return nil }
    return folds.lazy.filter { $0.problem == nil }.map(\.readNext).reduce(sources.clocks.nextOffset) { min($0, $1) }
  }

  var problem: String? {
    folds.first { $0.problem != nil }.flatMap { fold in fold.problem.map { "partition \(partition): \($0)" } }
      ?? failure.map { "partition \(partition): \($0)" }
  }

  /// Rows and sources that only memory has.
  var unsavedRows: Int {
    clocks.reduce(folds.reduce(0) { $0 + $1.box.fold.unsavedCount }) { $0 + $1.clocks.unsavedCount }
  }

  func fold(_ id: GenerationID) -> GenerationFold? { folds.first { $0.id == id } }

  /// All clocks, each once.
  var clocks: [SourceBox] {
    var clocks = [sources]
    for fold in folds {
      if let own = fold.sources, !clocks.contains(where: { $0 === own }) { clocks.append(own) }
    }
    return clocks
  }

  /// Folds that have come to the same place share their clocks from then on.
  mutating func shareSources() {
    for index in folds.indices {
      guard let own = folds[index].sources, own !== sources else { continue }
      if own.isEquivalent(to: sources) {
        folds[index].sources = sources
      } else if own.clocks.bounds.isAll, own.clocks.firstOffset < sources.clocks.firstOffset,
        own.clocks.nextOffset >= sources.clocks.nextOffset
      {
        // It knows more.
        sources = own
      }
    }
  }

  /// Sets aside the folds that the log no longer reaches: forced retention deleted events that they had not counted.
  /// - Parameter begin: Makes clocks that begin at an offset, in place of those that the log no longer reaches.
  mutating func setAside(below start: Offset, _ begin: (Offset) -> SourceBox) -> [GenerationFold] {
    var aside: [GenerationFold] = []
    for index in folds.indices where folds[index].problem == nil && folds[index].readNext < start {
      folds[index].problem = GenerationFold.gap(folds[index].id, folds[index].readNext, logStart: start)
      aside.append(folds[index])
    }
    if sources.clocks.nextOffset < start { sources = begin(start) }
    return aside
  }

  mutating func fail(_ problem: String) {
    failure = problem
    for index in folds.indices where folds[index].problem == nil { folds[index].problem = problem }
  }
}

extension GenerationFold {
  static func gap(_ id: GenerationID, _ next: Offset, logStart: Offset) -> String {
    "view \(id) has counted up to offset \(next), but the log now starts at \(logStart): events in between are gone and it cannot be "
      + "completed; `penstock replay \(id.view) --promote` makes a generation of what is left"
  }
}
