import Events
import Foundation
import SQLite
import Views

/// The copy of the table of generations that the first worker's file has.
struct GenerationCopy: Sendable {
  let file: CheckpointFile

  /// Loads the copy. Where the present file has none, that of a file in an older format that was put aside is taken; empty where
  /// there is neither.
  func load() throws(ComputeError) -> GenerationTable {
    let copy = try file.withWriter { try table(in: $0) }
    let aside = file.path + ".old"
    guard copy == GenerationTable(), FileManager.default.fileExists(atPath: aside) else { return copy }
    return try file.typed { try table(in: try SQLiteConnection(path: aside)) }
  }

  private func table(in db: SQLiteConnection) throws -> GenerationTable {
    let tables = try db.rows("SELECT name FROM sqlite_master WHERE type = 'table'") { $0.text(0) }
    if tables.contains("generations"), let text = try db.first("SELECT text FROM generations", body: { $0.text(0) }) {
      guard let table = GenerationTable(text: text) else {
        throw ComputeError(
          .incompatible, worker: file.worker, "\(file.path): the table of generations is not one this program reads")
      }
      return table
    }
    return tables.contains("generation") && tables.contains("configured")
      ? try EarlierGenerations.load(db, file.path) : GenerationTable()
  }

  /// Replaces the copy by this table, in one transaction.
  func save(_ table: GenerationTable) throws(ComputeError) {
    try file.write { db in
      try db.execute("CREATE TABLE IF NOT EXISTS generations (text TEXT NOT NULL); DELETE FROM generations")
      try db.run("INSERT INTO generations VALUES (?)", table.text)
      try db.execute("DROP TABLE IF EXISTS generation; DROP TABLE IF EXISTS configured")
    }
  }
}

/// The table of generations in the form of earlier versions: a row for each.
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
      guard let read = try ViewCatalog(jsonText: row.text(2), file: path, watermarkDefault: .partition)[id.view] else {
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
