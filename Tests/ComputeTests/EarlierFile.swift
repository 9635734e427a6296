import Events
import Foundation
import SQLite
import Views

@testable import Compute

/// Makes a worker's file what an earlier format was, with that format's own tables.
enum EarlierFile {
  /// Format 5: a row for each window and key, and for each source.
  static func makeFormat5(_ path: String, _ yaml: String) throws {
    let db = try SQLiteConnection(path: path)
    let catalog = try ViewCatalog(yaml: yaml, file: "test.yaml")
    try db.transaction {
      try db.execute(
        """
        CREATE TABLE state (
          view INTEGER NOT NULL, partition INTEGER NOT NULL, window_start INTEGER NOT NULL, key BLOB NOT NULL,
          window_end INTEGER NOT NULL, events INTEGER NOT NULL, state BLOB NOT NULL,
          PRIMARY KEY (view, partition, window_start, key, window_end)) WITHOUT ROWID;
        CREATE TABLE source (
          clock INTEGER NOT NULL, name BLOB NOT NULL, time INTEGER NOT NULL, largest INTEGER, last_append_time INTEGER NOT NULL,
          events INTEGER NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER, PRIMARY KEY (clock, name)) WITHOUT ROWID;
        """)
      for (view, name) in try db.rows("SELECT id, name FROM view", body: { ($0.int64(0), $0.text(1)) }) {
        guard let definition = catalog[name] else { continue }
        for partition in try StoredRuns.partitions(db, ofView: view) { try writeRows(db, definition, view, partition) }
      }
      for clock in try db.rows("SELECT id FROM clock", body: { $0.int64(0) }) { try writeSources(db, clock) }
      try db.execute("DROP TABLE run; DROP TABLE block; UPDATE meta SET value = 5 WHERE name = 'format'")
    }
  }

  private static func writeRows(
    _ db: SQLiteConnection, _ definition: ViewDefinition, _ view: Int64, _ partition: PartitionID
  ) throws {
    var merge = try RunMerge(
      db, .rows(view: view, partition), definition.layout, from: RowPlace(slot: .min, key: []), through: .max)
    while try merge.next(db, { row in
      try db.run(
        "INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", view, partition.index, row.slot, Array(row.key),
        definition.window.end(ofSlot: row.slot), row.events, row.state.flatMap { word in withUnsafeBytes(of: word) { Array($0) } })
    }) {}
  }

  private static func writeSources(_ db: SQLiteConnection, _ clock: Int64) throws {
    try SourceRuns.forEach(db, clock: clock) { name, entry in
      try db.run(
        "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?)", clock, Array(name), entry.time,
        entry.largest == entry.time ? nil : entry.largest, entry.lastAppendTime, entry.events, Int64(bitPattern: entry.epoch),
        entry.sequence.map { Int64(bitPattern: $0) })
      return true
    }
  }

  /// Format 4: nothing is known of sources.
  static func makeFormat4(_ path: String, _ yaml: String) throws {
    try makeFormat5(path, yaml)
    let db = try SQLiteConnection(path: path)
    let progress =
      "view, partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered, late, where_errors, "
      + "argument_errors, late_listed, dropped_end, dropped_events"
    try db.execute(
      """
      BEGIN;
      ALTER TABLE progress RENAME TO present_progress;
      ALTER TABLE late RENAME TO present_late;
      CREATE TABLE progress (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        event_time_max INTEGER, last_append_time INTEGER, applied INTEGER NOT NULL, filtered INTEGER NOT NULL,
        late INTEGER NOT NULL, where_errors INTEGER NOT NULL, argument_errors INTEGER NOT NULL, late_listed INTEGER NOT NULL,
        dropped_end INTEGER, dropped_events INTEGER NOT NULL,
        PRIMARY KEY (view, partition)) WITHOUT ROWID;
      CREATE TABLE late (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, events INTEGER NOT NULL,
        block BLOB NOT NULL, PRIMARY KEY (view, partition, first_offset)) WITHOUT ROWID;
      INSERT INTO progress SELECT \(progress) FROM present_progress;
      INSERT INTO late SELECT view, partition, first_offset, events, block FROM present_late;
      DROP TABLE present_progress; DROP TABLE present_late; DROP TABLE clock; DROP TABLE source;
      UPDATE meta SET value = 4 WHERE name = 'format';
      COMMIT;
      """)
  }

  /// Format 2: all rows in one table, with a row for each late event.
  static func makeFormat2(_ path: String, _ yaml: String, _ late: [LateEvent]) throws {
    try makeFormat5(path, yaml)
    let db = try SQLiteConnection(path: path)
    try db.execute(
      """
      CREATE TABLE earlier (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, window_start INTEGER NOT NULL, key BLOB NOT NULL,
        window_end INTEGER NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (view, partition, window_start, key, window_end)) WITHOUT ROWID;
      INSERT INTO earlier SELECT view, partition, window_start, key, window_end, state FROM state;
      INSERT INTO earlier SELECT view, partition, window_start, key, window_end, state FROM session;
      DROP TABLE state; DROP TABLE session; ALTER TABLE earlier RENAME TO state;
      DROP TABLE late; DROP TABLE clock; DROP TABLE source;
      CREATE TABLE late (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, event_time INTEGER NOT NULL,
        window_start INTEGER NOT NULL, PRIMARY KEY (view, partition, offset)) WITHOUT ROWID;
      ALTER TABLE progress DROP COLUMN late_listed;
      ALTER TABLE progress DROP COLUMN dropped_end;
      ALTER TABLE progress DROP COLUMN dropped_events;
      ALTER TABLE progress DROP COLUMN amended;
      ALTER TABLE progress DROP COLUMN clock;
      """)
    let view = try db.first("SELECT id FROM view") { $0.int(0) }
    for event in late {
      try db.run(
        "INSERT INTO late VALUES (?, ?, ?, ?, ?)", view, event.partition.index, event.offset.rawValue, event.time.nanoseconds,
        event.windowStart.nanoseconds)
    }
    try db.run("UPDATE meta SET value = 2 WHERE name = 'format'")
  }
}

/// Changes rows of windows in a worker's file.
enum TamperedRows {
  /// Removes one row of a view whose rows are of one partition, all its versions.
  static func remove(_ db: SQLiteConnection, _ definition: ViewDefinition, row number: Int) throws {
    let stride = definition.layout.stride
    let view = try db.first("SELECT id FROM view WHERE name = ?", definition.name) { $0.int64(0) } ?? 0
    for partition in try StoredRuns.partitions(db, ofView: view) {
      let owner = RunOwner.rows(view: view, partition)
      var merge = try RunMerge(db, owner, definition.layout, from: RowPlace(slot: .min, key: []), through: .max)
      let earlier = try StoredRuns.list(db, owner)
      var run = RunWriter(db, owner, stride: stride)
      var index = 0
      while try merge.next(db, { row in
        if index != number { try run.append(row) }
        index += 1
      }) {}
      try run.finish()
      for one in earlier {
        try db.run("DELETE FROM block WHERE run = ?", one.id)
        try db.run("DELETE FROM run WHERE id = ?", one.id)
      }
    }
  }

  /// Adds the rows of every run once more.
  static func double(_ db: SQLiteConnection) throws {
    let runs = try db.rows("SELECT id, owner, partition FROM run WHERE kind = 0") {
      (id: $0.int64(0), owner: RunOwner.rows(view: $0.int64(1), PartitionID($0.int(2))))
    }
    for (id, owner) in runs {
      let copy = try StoredRuns.add(db, owner)
      try db.run(
        """
        INSERT INTO block (run, first_slot, last_slot, last_key, rows, events, bytes)
        SELECT ?, first_slot, last_slot, last_key, rows, events, bytes FROM block WHERE run = ?
        """, copy, id)
    }
  }
}
