import Events
import Views

/// A partition that a worker owns: its folds, which are read together.
struct OwnedPartition {
  let partition: PartitionID
  var folds: [GenerationFold] = []

  /// The offset to read on from: that of the fold that is furthest behind. Nil when there is none to read for.
  var next: Offset? { folds.lazy.filter { $0.problem == nil }.map(\.next).min() }

  var problem: String? {
    folds.first { $0.problem != nil }.flatMap { fold in fold.problem.map { "partition \(partition): \($0)" } }
  }

  func fold(_ id: GenerationID) -> GenerationFold? { folds.first { $0.id == id } }

  /// Sets aside the folds that the log no longer reaches: forced retention deleted events that they had not counted.
  mutating func setAside(below start: Offset) -> [GenerationFold] {
    var aside: [GenerationFold] = []
    for index in folds.indices where folds[index].problem == nil && folds[index].next < start {
      folds[index].problem = GenerationFold.gap(folds[index].id, folds[index].next, logStart: start)
      aside.append(folds[index])
    }
    return aside
  }

  mutating func fail(_ problem: String) {
    for index in folds.indices where folds[index].problem == nil { folds[index].problem = problem }
  }
}

extension GenerationFold {
  static func gap(_ id: GenerationID, _ next: Offset, logStart: Offset) -> String {
    "view \(id) has counted up to offset \(next), but the log now starts at \(logStart): events in between are gone and it cannot be "
      + "completed; `penstock replay \(id.view) --promote` makes a generation of what is left"
  }
}
