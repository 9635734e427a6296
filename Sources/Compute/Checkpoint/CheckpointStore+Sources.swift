import Events
import SQLite
import Views

/// The sources' part of a worker's file, for the workers: `StoredSources` has the statements.
extension CheckpointStore {
  /// Advances clocks over a batch; sources of the batch that memory has let go of are put back first.
  func advance(_ box: SourceBox, over batch: ColumnBatch, _ times: [Int64]) throws(ComputeError) {
    let missing = box.clocks.missing(in: batch)
    if !missing.isEmpty, let id = box.id {
      try file.withWriter { try StoredSources.restore(missing, into: box.clocks, clock: id, from: $0) }
    }
    box.clocks.advance(batch, times: times)
  }

  /// Clocks as they were at their last checkpoint; nil where the file does not have them.
  /// - Parameters:
  ///   - aheadMax: As it is set now, in nanoseconds.
  ///   - bytesMax: The bytes of sources to take into memory; further ones stay in the file.
  func loadSources(_ id: Int64, aheadMax: Int64, bytesMax: Int = .max) throws(ComputeError) -> SourceBox? {
    try file.withWriter { db in
      try db.transaction(.deferred) {
        guard let clock = try StoredSources.clock(db, id: id) else { return nil }
        return SourceBox(try StoredSources.load(db, clock, aheadMax: aheadMax, bytesMax: bytesMax), id: id)
      }
    }
  }

  /// The id of the clocks of a partition that reach furthest back, of those that have come to an offset; nil where there are
  /// none.
  func sources(of partition: PartitionID, atLeast next: Offset) throws(ComputeError) -> Int64? {
    try file.withWriter { try StoredSources.furthestBack($0, partition, atLeast: next)?.id }
  }

  /// Deletes clocks that nothing goes on from: those of replays that have been handed over, or of generations that have ended.
  /// Where no view of a partition has clocks, its own stay. For the start, before any are loaded.
  func sweepSources() throws(ComputeError) {
    try file.write { db in
      let alone = try db.rows(
        "SELECT DISTINCT partition FROM clock WHERE partition NOT IN (SELECT partition FROM progress WHERE clock IS NOT NULL)"
      ) { PartitionID($0.int(0)) }
      let open = try alone.compactMap { try StoredSources.furthestBack(db, $0, atLeast: .zero)?.id }
      while try !StoredSources.sweep(db, keeping: Set(open)) {}
    }
  }

  /// Copies clocks within the file.
  /// - Returns: The copy's id; nil where the file does not have them.
  func copySources(_ id: Int64) throws(ComputeError) -> Int64? {
    try file.write { db in try StoredSources.clock(db, id: id).map { try StoredSources.copy(db, $0) } }
  }
}
