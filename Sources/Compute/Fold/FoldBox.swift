import Events
import Views

/// Holds a fold where a collection of them is needed. Belongs to one worker, which is an actor.
///
/// Invariant for `@unchecked`: at any time one actor has it and touches it. Who hands it on lets go of it first: loading to a worker or a
/// replay, a replay to its worker when it has caught up.
final class FoldBox: @unchecked Sendable {
  var fold: ViewFold
  /// The next offset as it is on disk: the log must keep the events from here on.
  private(set) var savedOffset: Offset

  init(_ fold: consuming ViewFold) {
    savedOffset = fold.progress.nextOffset
    self.fold = fold
  }

  /// What it holds is on disk.
  func checkpointed() {
    fold.checkpointed()
    savedOffset = fold.progress.nextOffset
  }

  func restore(window: Int64, key: [UInt8], state: [UInt8]) -> Bool {
    key.withUnsafeBytes { key in state.withUnsafeBytes { fold.restore(window: window, key: key, state: $0) } }
  }
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
    for row in table.changed {
      let row = Int(row)
      // Words are stored little-endian; so is this machine's memory, which `StateLayout.encode` would copy word by word.
      let state = UnsafeRawBufferPointer(start: table.states + row * table.stride, count: table.stride * 8)
      try table.keys.withKey(Int(table.keyNumbers[row])) { key in
        try statement.upsert(
          view: view, partition: progress.partition, window: table.windowStarts[row], key: key, state: state)
      }
    }
    return table.changed.count
  }
}

extension ViewDefinition {
  func windowEnd(of start: Int64) -> Int64 {
    guard case .tumble(let size) = window else { preconditionFailure("view files are checked for windows not built") }
    return WindowDefinition.end(of: start, size: size)
  }
}
