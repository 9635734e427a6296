import Events
import SQLite
import Views

extension CheckpointStore {
  /// Takes a partition's state over from a file of another process, if that has counted further than this one. The other may be at work:
  /// what it committed last is read, whole, and nothing is changed there.
  /// - Returns: Where the state taken goes on; nil when there was none further on.
  func take(_ generation: GenerationRecord, _ partition: PartitionID, fromNeighbour path: String) throws(ComputeError) -> Offset?
  {
    let (id, hash) = (generation.id, generation.definition.generationHash)
    let own = try viewID(of: generation)
    let reached = try nextOffset(of: id, partition) ?? -1
    defer { settled.forget() }
    return try typed {
      try file.withWriter { db -> Offset? in
        try db.run("ATTACH DATABASE ? AS other", path)
        defer { detach(db) }
        // Deferred: an immediate one would lock the neighbour's file as well.
        return try db.transaction(.deferred) { () -> Offset? in
          let format = try db.first("SELECT value FROM other.meta WHERE name = 'format'") { $0.int(0) }
          // What another log has made of the same offsets is something else.
          guard format == CheckpointSchema.formatVersion, try CheckpointSchema.log(db, in: "other") == CheckpointSchema.log(db),
            let view = try db.first(
              "SELECT id FROM other.view WHERE name = ? AND generation = ? AND hash = ?", id.view, id.number, hash,
              body: { $0.int64(0) }),
            let next = try db.first(
              "SELECT next_offset FROM other.progress WHERE view = ? AND partition = ?", view, partition.index,
              body: { $0.int64(0) }), next > reached
          else { return nil }
          for (table, columns) in CheckpointSchema.columnsAfterView {
            try db.run("DELETE FROM main.\(table) WHERE view = ? AND partition = ?", own, partition.index)
            try db.run(
              """
              INSERT INTO main.\(table) (view, \(columns)) SELECT ?1, \(columns) FROM other.\(table)
              WHERE view = ?2 AND partition = ?3
              """, own, view, partition.index)
          }
          return Offset(next)
        }
      }
    }
  }
}
