import Events
import Views

/// Holds a fold where a collection of them is needed. Belongs to one worker, which is an actor.
///
/// Invariant for `@unchecked`: made while loading and handed to the worker once; from then on touched on the worker's executor only.
final class FoldBox: @unchecked Sendable {
  var fold: ViewFold

  init(_ fold: consuming ViewFold) { self.fold = fold }
}

extension ViewFold {
  /// The fold as it was when `progress` was stored, without its rows: those after `evictedThrough` are to be restored.
  init(restoring definition: ViewDefinition, progress: PartitionProgress, eventTimeMax: Int64?) {
    self.init(definition: definition, progress: progress, eventTimeMax: eventTimeMax)
    noteStoredRows()
  }

  /// Writes the rows changed since the last checkpoint.
  /// - Returns: How many.
  func writeChanged(view: Int64, to statement: StatementHandle) throws -> Int {
    var words: [UInt64] = []
    for row in table.changed {
      let row = Int(row)
      words.removeAll(keepingCapacity: true)
      table.states.appendCanonical(row, to: &words)
      for index in words.indices { words[index] = words[index].littleEndian }
      let slot = table.slotStarts[row]
      try table.keys.withKey(Int(table.keyNumbers[row])) { key in
        try words.withUnsafeBytes { state in
          try statement.upsert(
            view: view, partition: progress.partition, slot: slot, end: definition.window.end(ofSlot: slot), key: key, state: state)
        }
      }
    }
    return table.changed.count
  }
}
