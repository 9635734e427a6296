import Events
import SQLite
import Views

extension CheckpointStore {
  /// What a worker's file says of a generation it has rows of.
  struct KnownGeneration: Sendable {
    var view: String
    var number: Int
    var hash: String
  }

  /// Every generation the file has rows of.
  func knownGenerations() throws(ComputeError) -> [KnownGeneration] {
    try typed {
      try file.withWriter { db in
        try db.rows("SELECT name, generation, hash FROM view") {
          KnownGeneration(view: $0.text(0), number: $0.int(1), hash: $0.text(2))
        }
      }
    }
  }

  /// The number under which the file has the generation's rows; new where it has none. Rows of another definition under the same number,
  /// such as of a file that came from elsewhere, are dropped.
  func viewID(of generation: GenerationRecord) throws(ComputeError) -> Int64 {
    let (name, hash) = (generation.definition.name, generation.definition.generationHash)
    let (number, isReplaced) = try typed {
      try file.write { db in
        let known = try db.first("SELECT id, hash FROM view WHERE name = ? AND generation = ?", name, generation.number) {
          (id: $0.int64(0), hash: $0.text(1))
        }
        if let known {
          if known.hash == hash { return (known.id, false) }
          try CheckpointStore.drop(db, view: known.id)
        }
        try db.run("INSERT INTO view (name, hash, generation) VALUES (?, ?, ?)", name, hash, generation.number)
        return (db.lastInsertedRowID, known != nil)
      }
    }
    if isReplaced { settled.forget() }
    return number
  }

  /// Drops all rows of a generation, partition by partition, so that no checkpoint waits long.
  func drop(_ id: GenerationID) throws(ComputeError) {
    try typed {
      let found = try file.withWriter { db in
        try db.first("SELECT id FROM view WHERE name = ? AND generation = ?", id.view, id.number) { $0.int64(0) }
      }
      guard let view = found else { return }
      let partitions = try file.withWriter { db in
        try db.rows("SELECT partition FROM progress WHERE view = ?", view) { $0.int(0) }
      }
      for partition in partitions {
        try file.write { db in
          for table in ["state", "late"] {
            try db.run("DELETE FROM \(table) WHERE view = ? AND partition = ?", view, partition)
          }
        }
      }
      try file.write { try CheckpointStore.drop($0, view: view) }
      settled.forget()
    }
  }

  /// Drops what belongs to no kept generation: left by a crash between the table's commit and the rows' end.
  func sweep(keeping table: GenerationTable) throws(ComputeError) {
    let kept = Set(table.kept.map(\.id))
    for known in try knownGenerations() {
      let id = GenerationID(view: known.view, number: known.number)
      if !kept.contains(id) { try drop(id) }
    }
  }

  private static func drop(_ db: SQLiteConnection, view: Int64) throws {
    for table in ["progress", "state", "late"] { try db.run("DELETE FROM \(table) WHERE view = ?", view) }
    try db.execute("DROP INDEX IF EXISTS state_of_view_\(view)")
    try db.run("DELETE FROM view WHERE id = ?", view)
  }

  // MARK: the table

  /// The table of generations, which the first worker's file has.
  func loadGenerations() throws(ComputeError) -> GenerationTable {
    try typed {
      try file.withWriter { db in
        let records = try db.rows(
          "SELECT view, number, definition, state, promotes, from_offsets, to_offsets, created FROM generation ORDER BY position",
          body: record)
        var configured: [String: String] = [:]
        for (view, hash) in try db.rows("SELECT view, hash FROM configured", body: { ($0.text(0), $0.text(1)) }) {
          configured[view] = hash
        }
        return GenerationTable(records: records, configured: configured)
      }
    }
  }

  private func record(_ row: SQLiteStatement) throws -> GenerationRecord {
    let name = row.text(0)
    let catalog: ViewCatalog
    do throws(ViewCatalogError) { catalog = try ViewCatalog(yaml: row.text(2), file: path) } catch {
      throw ComputeError(.incompatible, worker: worker, "the kept definition of view \(name) does not read: \(error)")
    }
    guard let definition = catalog[name], let state = GenerationState(rawValue: row.text(3)) else {
      throw ComputeError(.incompatible, worker: worker, "view \(name) is kept in a way this program does not read")
    }
    return GenerationRecord(
      definition: definition, number: row.int(1), state: state, promotes: row.bool(4),
      from: try OffsetVector(parsing: row.text(5)), to: try row.optionalText(6).map { try OffsetVector(parsing: $0) },
      createdAt: Timestamp(nanoseconds: row.int64(7)))
  }

  /// Makes the stored table this one, in one transaction.
  func save(_ table: GenerationTable) throws(ComputeError) {
    try typed {
      try file.write { db in
        try db.execute("DELETE FROM generation; DELETE FROM configured")
        for (position, record) in table.records.enumerated() {
          try db.run(
            "INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            position, record.definition.name, record.number, ViewCatalog(views: [record.definition]).text,
            record.state.rawValue, record.promotes, record.from.description, record.to?.description, record.createdAt.nanoseconds)
        }
        for (view, hash) in table.configured.sorted(by: { $0.key < $1.key }) {
          try db.run("INSERT INTO configured VALUES (?, ?)", view, hash)
        }
      }
    }
  }
}
