import Events
import Foundation
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
          if known.hash == hash {
            switch generation.definition.window.keeping {
            case .slots: break
            case .sessions: try CheckpointMigration.moveSessions(db, view: known.id)
            }
            return (known.id, false)
          }
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
          for table in CheckpointSchema.tables where table != "progress" {
            try db.run("DELETE FROM \(table) WHERE view = ? AND partition = ?", view, partition)
          }
        }
      }
      try file.write { try CheckpointStore.drop($0, view: view) }
      settled.forget()
    }
  }

  /// Drops what belongs to no generation the table knows: left by a crash between the table's commit and the rows' end.
  func sweep(keeping table: GenerationTable) throws(ComputeError) {
    let kept = table.stored
    for known in try knownGenerations() {
      let id = GenerationID(view: known.view, number: known.number)
      if !kept.contains(id) { try drop(id) }
    }
  }

  private static func drop(_ db: SQLiteConnection, view: Int64) throws {
    for table in CheckpointSchema.tables { try db.run("DELETE FROM \(table) WHERE view = ?", view) }
    try db.run("DELETE FROM view WHERE id = ?", view)
  }

  // MARK: the table

  /// The copy of the table of generations that the first worker's file has; of a file of an older format that was put aside, where the
  /// present one has none. Empty where there is neither.
  func loadGenerations() throws(ComputeError) -> GenerationTable {
    let copy = try typed { try file.withWriter { try generations(in: $0) } }
    let aside = path + ".old"
    guard copy == GenerationTable(), FileManager.default.fileExists(atPath: aside) else { return copy }
    return try typed { try generations(in: try SQLiteConnection(path: aside)) }
  }

  private func generations(in db: SQLiteConnection) throws -> GenerationTable {
    let tables = try db.rows("SELECT name FROM sqlite_master WHERE type = 'table'") { $0.text(0) }
    if tables.contains("generations"), let text = try db.first("SELECT text FROM generations", body: { $0.text(0) }) {
      guard let table = GenerationTable(text: text) else {
        throw ComputeError(.incompatible, worker: worker, "\(path): the table of generations is not one this program reads")
      }
      return table
    }
    return tables.contains("generation") && tables.contains("configured")
      ? try EarlierGenerations.load(db, path) : GenerationTable()
  }

  /// Makes the copy this one, in one transaction.
  func save(_ table: GenerationTable) throws(ComputeError) {
    try typed {
      try file.write { db in
        try db.execute("CREATE TABLE IF NOT EXISTS generations (text TEXT NOT NULL); DELETE FROM generations")
        try db.run("INSERT INTO generations VALUES (?)", table.text)
        try db.execute("DROP TABLE IF EXISTS generation; DROP TABLE IF EXISTS configured")
      }
    }
  }
}

/// The table of generations as earlier versions kept it: a row for each.
private enum EarlierGenerations {
  static func load(_ db: SQLiteConnection, _ path: String) throws -> GenerationTable {
    var table = GenerationTable()
    let sql =
      "SELECT view, number, definition, state, promotes, from_offsets, to_offsets, created FROM generation ORDER BY position"
    for read in try db.rows(sql, body: { try record($0, path) }) {
      switch read {
      case .record(let record): table.records.append(record)
      case .setAside(let id, let reason): table.setAside[id] = reason
      }
    }
    for (view, hash) in try db.rows("SELECT view, hash FROM configured", body: { ($0.text(0), $0.text(1)) }) {
      table.configured[view] = hash
    }
    return table
  }

  private static func record(_ row: SQLiteStatement, _ path: String) throws -> GenerationRecord.Read {
    let id = GenerationID(view: row.text(0), number: row.int(1))
    let definition: ViewDefinition
    do throws(ViewCatalogError) {
      guard let read = try ViewCatalog(jsonText: row.text(2), file: path)[id.view] else {
        return .setAside(id, reason: "its text is of another view")
      }
      definition = read
    } catch {
      return .setAside(id, reason: error.description)
    }
    guard let state = GenerationState(rawValue: row.text(3)) else {
      return .setAside(id, reason: "it is \(row.text(3)), which this program does not know")
    }
    return .record(
      GenerationRecord(
        definition: definition, number: id.number, state: state, promotes: row.bool(4),
        from: try OffsetVector(parsing: row.text(5)),
        to: try row.optionalText(6).map { try OffsetVector(parsing: $0) }, createdAt: Timestamp(nanoseconds: row.int64(7))))
  }
}
