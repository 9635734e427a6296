import Events
import SQLite
import Views

/// A generation that a worker's file has rows of.
struct KnownGeneration: Sendable {
  var view: String
  var number: Int
  var hash: String
}

/// Which generations a worker's file has rows of, in which partitions, and how they come and go as a whole.
struct StoredGenerations: Sendable {
  /// The blocks that are deleted in one transaction: a checkpoint waits for no more.
  private static let blocksMax = 512

  let file: CheckpointFile
  let settled: SettledRows
  let layouts: StateLayouts

  func known() throws(ComputeError) -> [KnownGeneration] {
    try file.withWriter { db in
      try db.rows("SELECT name, generation, hash FROM view") {
        KnownGeneration(view: $0.text(0), number: $0.int(1), hash: $0.text(2))
      }
    }
  }

  /// The number under which the file has the generation's rows; a new one where it has none. Rows of another definition
  /// under the same number, as in a file that came from elsewhere, are dropped.
  func viewID(of generation: GenerationRecord) throws(ComputeError) -> Int64 {
    let (name, hash) = (generation.definition.name, generation.definition.generationHash)
    let (number, isReplaced) = try file.write { db in
      let known = try db.first("SELECT id, hash FROM view WHERE name = ? AND generation = ?", name, generation.number) {
        (id: $0.int64(0), hash: $0.text(1))
      }
      if let known {
        if known.hash == hash {
          try EarlierRows.move(db, generation.definition, view: known.id)
          return (known.id, false)
        }
        try StoredGenerations.drop(db, view: known.id)
      }
      try db.run("INSERT INTO view (name, hash, generation) VALUES (?, ?, ?)", name, hash, generation.number)
      return (db.lastInsertedRowID, known != nil)
    }
    if isReplaced { settled.forget() }
    layouts.note(generation.definition.layout, ofView: number)
    return number
  }

  /// Drops all rows of a generation, partition by partition, so that no checkpoint waits long.
  func drop(_ id: GenerationID) throws(ComputeError) {
    let found = try file.withWriter { db in
      try db.first("SELECT id FROM view WHERE name = ? AND generation = ?", id.view, id.number) { $0.int64(0) }
    }
    guard let view = found else { return }
    let partitions = try file.withWriter { db in
      try db.rows("SELECT partition FROM progress WHERE view = ?", view) { PartitionID($0.int(0)) }
    }
    for partition in partitions {
      try file.write { db in
        for table in CheckpointSchema.tables where table != "progress" {
          try db.run("DELETE FROM \(table) WHERE view = ? AND partition = ?", view, partition.index)
        }
      }
      while try !file.write({ try StoredRuns.remove($0, .rows(view: view, partition), blocksMax: StoredGenerations.blocksMax) }) {}
    }
    try file.write { try StoredGenerations.drop($0, view: view) }
    settled.forget()
  }

  /// Drops the rows of generations that the table does not have: a crash between the table's commit and the rows' deletion left
  /// them.
  func sweep(keeping table: GenerationTable) throws(ComputeError) {
    let kept = table.stored
    for known in try known() {
      let id = GenerationID(view: known.view, number: known.number)
      if !kept.contains(id) { try drop(id) }
    }
  }

  private static func drop(_ db: SQLiteConnection, view: Int64) throws {
    for partition in try StoredRuns.partitions(db, ofView: view) { _ = try StoredRuns.remove(db, .rows(view: view, partition)) }
    try EarlierRows.remove(db, view: view)
    for table in CheckpointSchema.tables { try db.run("DELETE FROM \(table) WHERE view = ?", view) }
    try db.run("DELETE FROM view WHERE id = ?", view)
  }

  // MARK: one partition

  /// The next offset of a view's partition in the file; nil when the file does not have it.
  func nextOffset(of id: GenerationID, _ partition: PartitionID) throws(ComputeError) -> Int64? {
    try file.withWriter { db in
      try db.first(
        """
        SELECT next_offset FROM progress JOIN view ON view.id = progress.view
        WHERE name = ? AND generation = ? AND partition = ?
        """, id.view, id.number, partition.index
      ) { $0.int64(0) }
    }
  }

  /// Drops a partition's state, which another file has.
  func forget(_ id: GenerationID, _ partition: PartitionID) throws(ComputeError) {
    guard try nextOffset(of: id, partition) != nil else { return }
    defer { settled.forget() }
    try file.write { db in
      for table in CheckpointSchema.tables {
        try db.run(
          "DELETE FROM \(table) WHERE partition = ? AND view = (SELECT id FROM view WHERE name = ? AND generation = ?)",
          partition.index, id.view, id.number)
      }
      let view = try db.first("SELECT id FROM view WHERE name = ? AND generation = ?", id.view, id.number) { $0.int64(0) }
      if let view { _ = try StoredRuns.remove(db, .rows(view: view, partition)) }
    }
  }

  /// Takes a partition's state over from another file, whole, in one transaction, where that has counted further than this one.
  /// The file may be another process's, at work: what it committed last is read, and nothing is changed there.
  /// - Returns: The next offset of the copied state; nil when that file was no further.
  func take(_ generation: GenerationRecord, _ partition: PartitionID, from path: String) throws(ComputeError) -> Offset? {
    let (id, hash) = (generation.id, generation.definition.generationHash)
    let own = try viewID(of: generation)
    let reached = try nextOffset(of: id, partition) ?? -1
    defer { settled.forget() }
    return try file.withWriter { db -> Offset? in
      try db.run("ATTACH DATABASE ? AS other", path)
      defer {
        do { try db.execute("DETACH DATABASE other") } catch { file.logger.error("detaching another file: \(error)") }
      }
      // Deferred: an immediate one would lock the other file as well.
      return try db.transaction(.deferred) { () -> Offset? in
        let format = try db.first("SELECT value FROM other.meta WHERE name = 'format'") { $0.int(0) }
        // The same offsets of another log are other events.
        guard format == CheckpointSchema.formatVersion, try CheckpointSchema.log(db, in: "other") == CheckpointSchema.log(db),
          let view = try db.first(
            "SELECT id FROM other.view WHERE name = ? AND generation = ? AND hash = ?", id.view, id.number, hash,
            body: { $0.int64(0) }),
          let next = try db.first(
            "SELECT next_offset FROM other.progress WHERE view = ? AND partition = ?", view, partition.index,
            body: { $0.int64(0) }), next > reached, try !EarlierRows.has(db, view: view, in: "other")
        else { return nil }
        for (table, columns) in CheckpointSchema.columnsAfterView {
          try db.run("DELETE FROM main.\(table) WHERE view = ? AND partition = ?", own, partition.index)
          try db.run(
            """
            INSERT INTO main.\(table) (view, \(columns)) SELECT ?1, \(columns) FROM other.\(table)
            WHERE view = ?2 AND partition = ?3
            """, own, view, partition.index)
        }
        let owner = RunOwner.rows(view: own, partition)
        _ = try StoredRuns.remove(db, owner)
        try StoredRuns.copy(db, owner, from: .rows(view: view, partition), in: "other")
        try StoredSources.take(db, view: own, partition, from: view, in: "other")
        return Offset(next)
      }
    }
  }
}
