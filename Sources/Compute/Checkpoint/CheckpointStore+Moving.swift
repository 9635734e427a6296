import Events
import GRDB
import Views

extension CheckpointStore {
  /// How far the file's state of a view's partition has come; nil when it has none.
  func nextOffset(of definition: ViewDefinition, _ partition: PartitionID) throws(ComputeError) -> Int64? {
    try typed {
      try pool.read { db in
        try Int64.fetchOne(
          db,
          sql: """
            SELECT next_offset FROM progress JOIN view ON view.id = progress.view
            WHERE name = ? AND hash = ? AND partition = ?
            """,
          arguments: [definition.name, definition.generationHash, partition.index])
      }
    }
  }

  /// Drops a partition's state, which another file has.
  func forget(_ definition: ViewDefinition, _ partition: PartitionID) throws(ComputeError) {
    guard try nextOffset(of: definition, partition) != nil else { return }
    try typed {
      try pool.write { db in
        for table in ["progress", "state", "late"] {
          try db.execute(
            sql: "DELETE FROM \(table) WHERE partition = ? AND view = (SELECT id FROM view WHERE name = ? AND hash = ?)",
            arguments: [partition.index, definition.name, definition.generationHash])
        }
      }
    }
  }

  /// Takes over a partition's state from another worker's file, whole, in one transaction.
  func take(
    _ definition: ViewDefinition, _ generation: Int, _ partition: PartitionID, from other: CheckpointStore
  ) throws(ComputeError) {
    try typed {
      try pool.writeWithoutTransaction { db in
        try db.execute(sql: "ATTACH DATABASE ? AS other", arguments: [other.path])
        defer { detach(db) }
        try db.inTransaction {
          try db.execute(
            sql: "INSERT INTO view (name, hash, generation) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            arguments: [definition.name, definition.generationHash, generation])
          for (table, columns) in CheckpointSchema.columnsAfterView {
            try db.execute(
              sql: """
                DELETE FROM main.\(table) WHERE partition = :partition AND view =
                  (SELECT id FROM main.view WHERE name = :name AND hash = :hash);
                """, arguments: ["partition": partition.index, "name": definition.name, "hash": definition.generationHash])
            try db.execute(
              sql: """
                INSERT INTO main.\(table) (view, \(columns))
                SELECT (SELECT id FROM main.view WHERE name = :name AND hash = :hash), \(columns) FROM other.\(table)
                WHERE partition = :partition AND view = (SELECT id FROM other.view WHERE name = :name AND hash = :hash)
                """, arguments: ["partition": partition.index, "name": definition.name, "hash": definition.generationHash])
          }
          return .commit
        }
      }
    }
    logger.info("worker \(worker) has taken partition \(partition) of view \(definition.name) over from worker \(other.worker)")
  }

  private func detach(_ db: Database) {
    do { try db.execute(sql: "DETACH DATABASE other") } catch { logger.error("detaching a worker's file: \(error)") }
  }
}

extension CheckpointSchema {
  /// The columns of each table that belong to a view, without the view's id, which differs from file to file.
  static let columnsAfterView = [
    ("state", "partition, window_start, key, window_end, state"), ("late", "partition, offset, event_time, window_start"),
    (
      "progress",
      "partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered, late, where_errors, argument_errors"
    ),
  ]
}
