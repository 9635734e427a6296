import Events
import GRDB
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
      try pool.read { db in
        try Row.fetchAll(db, sql: "SELECT name, generation, hash FROM view").map {
          KnownGeneration(view: $0[0], number: $0[1], hash: $0[2])
        }
      }
    }
  }

  /// The number under which the file has the generation's rows; new where it has none. Rows of another definition under the same number,
  /// such as of a file that came from elsewhere, are dropped.
  func viewID(of generation: GenerationRecord) throws(ComputeError) -> Int64 {
    let (name, hash) = (generation.definition.name, generation.definition.generationHash)
    return try typed {
      try pool.write { db -> Int64 in
        if let row = try Row.fetchOne(
          db, sql: "SELECT id, hash FROM view WHERE name = ? AND generation = ?", arguments: [name, generation.number])
        {
          let id: Int64 = row[0]
          if row[1] == hash { return id }
          try CheckpointStore.drop(db, view: id)
        }
        try db.execute(
          sql: "INSERT INTO view (name, hash, generation) VALUES (?, ?, ?)", arguments: [name, hash, generation.number])
        return db.lastInsertedRowID
      }
    }
  }

  /// Drops all rows of a generation, partition by partition, so that no checkpoint waits long.
  func drop(_ id: GenerationID) throws(ComputeError) {
    try typed {
      let view = try pool.read { db in
        try Int64.fetchOne(db, sql: "SELECT id FROM view WHERE name = ? AND generation = ?", arguments: [id.view, id.number])
      }
      guard let view else { return }
      let partitions = try pool.read { db in
        try Int.fetchAll(db, sql: "SELECT partition FROM progress WHERE view = ?", arguments: [view])
      }
      for partition in partitions {
        try pool.write { db in
          for table in ["state", "late"] {
            try db.execute(sql: "DELETE FROM \(table) WHERE view = ? AND partition = ?", arguments: [view, partition])
          }
        }
      }
      try pool.write { try CheckpointStore.drop($0, view: view) }
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

  private static func drop(_ db: Database, view: Int64) throws {
    for table in ["progress", "state", "late"] { try db.execute(sql: "DELETE FROM \(table) WHERE view = ?", arguments: [view]) }
    try db.execute(sql: "DELETE FROM view WHERE id = ?", arguments: [view])
  }

  // MARK: the table

  /// The table of generations, which the first worker's file has.
  func loadGenerations() throws(ComputeError) -> GenerationTable {
    try typed {
      try pool.read { db in
        var records: [GenerationRecord] = []
        for row in try Row.fetchAll(db, sql: "SELECT * FROM generation ORDER BY position") {
          let text: String = row["definition"]
          let name: String = row["view"]
          let catalog: ViewCatalog
          do throws(ViewCatalogError) { catalog = try ViewCatalog(yaml: text, file: self.path) } catch {
            throw ComputeError(.incompatible, worker: self.worker, "the kept definition of view \(name) does not read: \(error)")
          }
          let stateText: String = row["state"]
          guard let definition = catalog[name], let state = GenerationState(rawValue: stateText) else {
            throw ComputeError(.incompatible, worker: self.worker, "view \(name) is kept in a way this program does not read")
          }
          let to: String? = row["to_offsets"]
          records.append(
            GenerationRecord(
              definition: definition, number: row["number"], state: state, promotes: row["promotes"],
              from: try OffsetVector(parsing: row["from_offsets"]), to: try to.map { try OffsetVector(parsing: $0) },
              createdAt: Timestamp(nanoseconds: row["created"])))
        }
        var configured: [String: String] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT view, hash FROM configured") { configured[row[0]] = row[1] }
        return GenerationTable(records: records, configured: configured)
      }
    }
  }

  /// Makes the stored table this one, in one transaction.
  func save(_ table: GenerationTable) throws(ComputeError) {
    try typed {
      try pool.write { db in
        try db.execute(sql: "DELETE FROM generation; DELETE FROM configured")
        for (position, record) in table.records.enumerated() {
          try db.execute(
            sql: "INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
              position, record.definition.name, record.number, ViewCatalog(views: [record.definition]).text,
              record.state.rawValue,
              record.promotes, record.from.description, record.to?.description, record.createdAt.nanoseconds,
            ])
        }
        for (view, hash) in table.configured.sorted(by: { $0.key < $1.key }) {
          try db.execute(sql: "INSERT INTO configured VALUES (?, ?)", arguments: [view, hash])
        }
      }
    }
  }
}
