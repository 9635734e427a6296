import Events
import GRDB
import Views

extension CheckpointStore {
  /// Takes a partition's state over from a file of another process, if that has counted further than this one. The other may be at work:
  /// what it committed last is read, whole, and nothing is changed there.
  /// - Returns: Where the state taken goes on; nil when there was none further on.
  func take(_ generation: GenerationRecord, _ partition: PartitionID, fromNeighbour path: String) throws(ComputeError) -> Offset?
  {
    let (id, hash) = (generation.id, generation.definition.generationHash)
    _ = try viewID(of: generation)
    let own = try nextOffset(of: id, partition) ?? -1
    return try typed {
      try pool.writeWithoutTransaction { db -> Offset? in
        try db.execute(sql: "ATTACH DATABASE ? AS other", arguments: [path])
        defer { detach(db) }
        var taken: Offset?
        try db.inTransaction {
          guard
            try Int.fetchOne(db, sql: "SELECT value FROM other.meta WHERE name = 'format'") == CheckpointSchema.formatVersion,
            let view = try Int64.fetchOne(
              db, sql: "SELECT id FROM other.view WHERE name = ? AND generation = ? AND hash = ?",
              arguments: [id.view, id.number, hash]),
            let next = try Int64.fetchOne(
              db, sql: "SELECT next_offset FROM other.progress WHERE view = ? AND partition = ?",
              arguments: [view, partition.index]), next > own
          else { return .rollback }
          for (table, columns) in CheckpointSchema.columnsAfterView {
            let mine = "(SELECT id FROM main.view WHERE name = :name AND generation = :number)"
            try db.execute(
              sql: "DELETE FROM main.\(table) WHERE partition = :partition AND view = \(mine)",
              arguments: ["partition": partition.index, "name": id.view, "number": id.number])
            try db.execute(
              sql: """
                INSERT INTO main.\(table) (view, \(columns)) SELECT \(mine), \(columns) FROM other.\(table)
                WHERE partition = :partition AND view = :view
                """,
              arguments: ["partition": partition.index, "name": id.view, "number": id.number, "view": view])
          }
          taken = Offset(next)
          return .commit
        }
        return taken
      }
    }
  }
}
