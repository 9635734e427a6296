import Events
import SQLite
import Views

extension CheckpointStore {
  /// How far the file's state of a view's partition has come; nil when it has none.
  func nextOffset(of id: GenerationID, _ partition: PartitionID) throws(ComputeError) -> Int64? {
    try typed {
      try file.withWriter { db in
        try db.first(
          """
          SELECT next_offset FROM progress JOIN view ON view.id = progress.view
          WHERE name = ? AND generation = ? AND partition = ?
          """, id.view, id.number, partition.index
        ) { $0.int64(0) }
      }
    }
  }

  /// Drops a partition's state, which another file has.
  func forget(_ id: GenerationID, _ partition: PartitionID) throws(ComputeError) {
    guard try nextOffset(of: id, partition) != nil else { return }
    defer { settled.forget() }
    try typed {
      try file.write { db in
        for table in CheckpointSchema.tables {
          try db.run(
            "DELETE FROM \(table) WHERE partition = ? AND view = (SELECT id FROM view WHERE name = ? AND generation = ?)",
            partition.index, id.view, id.number)
        }
      }
    }
  }

  /// Takes over a partition's state from another worker's file, whole, in one transaction.
  func take(_ generation: GenerationRecord, _ partition: PartitionID, from other: CheckpointStore) throws(ComputeError) {
    let id = generation.id
    _ = try viewID(of: generation)
    defer { settled.forget() }
    try typed {
      try file.withWriter { db in
        try db.run("ATTACH DATABASE ? AS other", other.path)
        defer { detach(db) }
        try db.transaction {
          for (table, columns) in CheckpointSchema.columnsAfterView {
            try db.run(
              """
              DELETE FROM main.\(table) WHERE partition = ?1 AND view =
                (SELECT id FROM main.view WHERE name = ?2 AND generation = ?3)
              """, partition.index, id.view, id.number)
            try db.run(
              """
              INSERT INTO main.\(table) (view, \(columns))
              SELECT (SELECT id FROM main.view WHERE name = ?2 AND generation = ?3), \(columns) FROM other.\(table)
              WHERE partition = ?1 AND view = (SELECT id FROM other.view WHERE name = ?2 AND generation = ?3)
              """, partition.index, id.view, id.number)
          }
        }
      }
    }
    logger.info("worker \(worker) has taken partition \(partition) of \(id) over from worker \(other.worker)")
  }

  func detach(_ db: SQLiteConnection) {
    do { try db.execute("DETACH DATABASE other") } catch { logger.error("detaching a worker's file: \(error)") }
  }
}

extension CheckpointSchema {
  /// The columns of each table that belong to a view, without the view's id, which differs from file to file.
  static let columnsAfterView = [
    ("state", "partition, window_start, key, window_end, events, state"),
    ("session", "partition, window_start, key, window_end, events, state"),
    ("late", "partition, first_offset, events, block"),
    (
      "progress",
      "partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered, late, where_errors, "
        + "argument_errors, late_listed, dropped_end, dropped_events"
    ),
  ]
}
