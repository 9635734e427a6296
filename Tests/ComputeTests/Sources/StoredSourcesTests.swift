import Events
import Foundation
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

@Suite("Sources in the file")
struct StoredSourcesTests {
  private static let second: Int64 = 1_000_000_000

  private static func open(_ path: String = ":memory:") throws -> SQLiteConnection {
    let db = try SQLiteConnection(path: path)
    try CheckpointSchema.create(db)
    return db
  }

  private static func event(_ source: String, _ time: Int64, sequence: UInt64? = nil, epoch: UInt64? = nil) -> Event {
    Event(source: source, type: "t", time: Timestamp(nanoseconds: time), sequence: sequence, epoch: epoch)
  }

  private static func setProgress(_ db: SQLiteConnection, view: Int64, _ partition: Int, next: Int64, clock: Int64?) throws {
    try db.run(
      """
      INSERT INTO progress (view, partition, first_offset, next_offset, applied, filtered, late, where_errors, argument_errors,
        late_listed, dropped_events, clock) VALUES (?, ?, 0, ?, 0, 0, 0, 0, 0, 0, 0, ?)
      """, view, partition, next, clock)
  }

  private static func names(_ page: [NamedSource]) -> [String] { page.map { String(decoding: $0.name, as: UTF8.self) } }

  @Test("what is stored is taken up again: times, clocks ahead, epochs and sequences over the whole range, odd names")
  func roundTrip() throws {
    let db = try Self.open()
    let clocks = SourceClocks(
      partition: PartitionID(3), firstOffset: Offset(10), aheadMax: 5, bounds: EventTimeBounds(from: -100, to: nil))
    let names = ["a", "b/ü", "zero\u{0}byte", String(repeating: "long", count: 200), "e\u{301}", "\u{e9}"]
    let events = names.enumerated().map { index, name in
      Self.event(name, Int64(index) * 20, sequence: index % 2 == 0 ? .max - UInt64(index) : nil, epoch: index % 4 == 0 ? .max : nil)
    }
    clocks.advance(.placed(events, at: 10, appendTime: 40, partition: PartitionID(3)))
    let id = try StoredSources.add(clocks, to: db)
    #expect(try StoredSources.write(clocks, clock: id, to: db) == names.count)
    clocks.checkpointed()
    try Self.setProgress(db, view: 1, 3, next: clocks.nextOffset.rawValue, clock: id)
    // A second checkpoint writes the one that has changed.
    clocks.advance(.placed([Self.event("a", 33)], at: 16, appendTime: 41, partition: PartitionID(3)))
    #expect(try StoredSources.write(clocks, clock: id, to: db) == 1)
    clocks.checkpointed()
    let stored = try #require(try StoredSources.clock(db, view: 1, PartitionID(3)))
    #expect(stored.nextOffset == Offset(17) && stored.firstOffset == Offset(10) && stored.lastAppendTime == 41)
    #expect(stored.bounds == clocks.bounds && stored.aheadMax == 5)
    let again = try StoredSources.load(db, stored, aheadMax: 5)
    #expect(again.nextOffset == clocks.nextOffset && again.lastAppendTime == 41 && again.bounds == clocks.bounds)
    #expect(again.count == names.count && again.unsavedCount == 0 && !again.mayBeInFile)
    for name in names {
      let entry = try #require(clocks.entry(of: name))
      #expect(again.entry(of: name) == entry, "\(name)")
      #expect(try withName(name) { try StoredSources.find(db, clock: id, $0) } == entry)
    }
    #expect(again.entry(of: "\u{e9}")?.largest == 100 && again.entry(of: "\u{e9}")?.time == 45)
    #expect(try withName("none") { try StoredSources.find(db, clock: id, $0) } == nil)
    #expect(try StoredSources.clock(db, view: 2, PartitionID(3)) == nil)
  }

  @Test("a bound on memory keeps those that appended last; the others are found when they come back, and hold back meanwhile")
  func bounded() throws {
    let db = try Self.open()
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    for number in 0..<2000 {
      clocks.advance(.placed([Self.event("s\(number)", Int64(10_000 - number))], at: Int64(number), appendTime: Int64(20_000 + number / 3)))
    }
    let id = try StoredSources.add(clocks, to: db)
    try StoredSources.write(clocks, clock: id, to: db)
    try Self.setProgress(db, view: 1, 0, next: 2000, clock: id)
    let stored = try #require(try StoredSources.clock(db, view: 1, PartitionID(0)))
    let few = try StoredSources.load(db, stored, aheadMax: 0, bytesMax: 16_000)
    #expect((100..<400).contains(few.count) && few.mayBeInFile)
    #expect((0..<2000).allSatisfy { (few.time(of: "s\($0)") != nil) == ($0 >= 2000 - few.count) || $0 / 3 == (2000 - few.count) / 3 })
    #expect(few.slowestActive(since: .min) == 8001)
    #expect(few.slowestActive(since: 20_000 + 1999 / 3) == 8001)
    let batch = ColumnBatch.placed(["s5", "new", "s1999", "s5"].map { Self.event($0, 1) }, at: 2000, appendTime: 30_000)
    let missing = few.missing(in: batch)
    #expect(missing.map { String(decoding: $0, as: UTF8.self) } == ["s5", "new"])
    try StoredSources.restore(missing, into: few, clock: id, from: db)
    few.advance(batch)
    #expect(few.sourceTimes == [9995, 1, 8001, 9995])
    #expect(few.entry(of: "s5")?.events == 3)
    #expect(few.slowestActive(since: 25_000) == 1)
  }

  @Test("200,000 sources in 256 KiB of memory: each is found again")
  func spill() throws {
    let folder = try TemporaryDirectory()
    defer { withExtendedLifetime(folder) {} }
    let db = try Self.open(folder.path + "/state.sqlite")
    try db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    let id = try StoredSources.add(clocks, to: db)
    let batches = 40, size = 5_000
    func count(_ batch: ColumnBatch) throws {
      try StoredSources.restore(clocks.missing(in: batch), into: clocks, clock: id, from: db)
      clocks.advance(batch)
      try db.transaction { _ = try StoredSources.write(clocks, clock: id, to: db) }
      clocks.checkpointed()
      clocks.shrink(toBytes: 1 << 18)
      try CompactionTests.compact(db, .sources(clock: id), stride: SourceRuns.stride, layout: nil)
    }
    for number in 0..<batches {
      try count(try Self.fleet(number * size..<(number + 1) * size, base: number * size, appendTime: Int64(number)))
      // Slots and blocks are not filled to the last place.
      #expect(clocks.byteCount <= (1 << 18) * 12 / 10)
    }
    // Every 500th comes back, with an earlier time: its own largest time is known.
    let back = (0..<batches * size).filter { $0 % 500 == 0 }
    let events = back.map { Self.event("device/\($0)", 0) }
    let batch = ColumnBatch.placed(events, at: Int64(batches * size), appendTime: Int64(batches))
    try StoredSources.restore(clocks.missing(in: batch), into: clocks, clock: id, from: db)
    clocks.advance(batch)
    #expect(clocks.sourceTimes == back.map { Self.time(of: $0) })
    try db.transaction { _ = try StoredSources.write(clocks, clock: id, to: db) }
    var seen = 0
    try SourceRuns.forEach(db, clock: id) { name, entry in
      let number = try #require(Int(String(decoding: name.dropFirst(7), as: UTF8.self)))
      let isRight = entry.time == Self.time(of: number) && entry.events == (number % 500 == 0 ? 2 : 1)
      if !isRight { Issue.record("device/\(number) has \(entry)") }
      seen += 1
      return true
    }
    #expect(seen == batches * size)
  }

  private static func time(of number: Int) -> Int64 { 1_000_000_000_000 + Int64(number % 1000) * 1_000_000 }

  /// One event of each source, made as ingest makes them.
  private static func fleet(_ numbers: Range<Int>, base: Int, appendTime: Int64) throws -> ColumnBatch {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    for number in numbers {
      let time = Timestamp(nanoseconds: Self.time(of: number))
      var text = Array(#"{"source":"device/\#(number)","type":"t","data":1}"#.utf8)
      let count = text.count
      text += Array(repeating: 0, count: EventReader.padding)
      text.withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<count]), framing: .single, arrival: time, defaultSource: nil)
        while let step = reader.next() { if case .event = step { builder.append(reader) } }
      }
    }
    var batch = try #require(builder.seal(reader))
    batch.place(
      partition: PartitionID(0), baseOffset: Offset(Int64(base)),
      // Nothing is ahead of it.
      appendTime: Timestamp(nanoseconds: 2_000_000_000_000 + appendTime))
    return batch
  }

  @Test("pages go through the file in the order of the names' bytes, each source once")
  func pages() throws {
    let db = try Self.open()
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    var random = SeededGenerator(seed: 4)
    let names = Set((0..<300).map { _ in
      ["a/", "b/", "é", "\u{ff}"].randomElement(using: &random)! + String(Int.random(in: 0..<500, using: &random))
    }).sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    clocks.advance(.placed(names.shuffled(using: &random).map { Self.event($0, 1) }, at: 0, appendTime: 5))
    let id = try StoredSources.add(clocks, to: db)
    try StoredSources.write(clocks, clock: id, to: db)
    for prefix in ["", "a/", "a/1", "é", "\u{ff}", "none"] {
      for limit in [1, 2, 7, 1000] {
        var range = SourceRange(prefix: Array(prefix.utf8), limit: limit)
        var found: [NamedSource] = []
        while true {
          let page = try SourceRuns.page(db, clock: id, range)
          #expect(page.count <= limit)
          found += page
          guard let last = page.last else { break }
          range.after = last.name
        }
        #expect(Self.names(found) == names.filter { $0.utf8.starts(with: prefix.utf8) }, "\(prefix), \(limit)")
        #expect(found.allSatisfy { $0.entry == clocks.entry(of: String(decoding: $0.name, as: UTF8.self)) })
      }
    }
    #expect(SourceRange(prefix: [0x61, 0xFF, 0xFF], limit: 1).end == [0x62])
    #expect(SourceRange(prefix: [0xFF], limit: 1).end == nil)
  }

  @Test("clocks that nobody has go, a part at a time, with their sources")
  func sweep() throws {
    let db = try Self.open()
    var ids: [Int64] = []
    for number in 0..<4 {
      let clocks = SourceClocks(partition: PartitionID(number), firstOffset: .zero, aheadMax: 0)
      let events = (0..<10).map { Self.event("s\($0)", 1) }
      clocks.advance(.placed(events, at: 0, appendTime: 1, partition: PartitionID(number)))
      ids.append(try StoredSources.add(clocks, to: db))
      try StoredSources.write(clocks, clock: ids[number], to: db)
    }
    try Self.setProgress(db, view: 1, 0, next: 10, clock: ids[0])
    var calls = 0
    while try !StoredSources.sweep(db, keeping: [ids[1]], blocksMax: 1), calls < 100 { calls += 1 }
    #expect((2...6).contains(calls))
    #expect(try db.rows("SELECT id FROM clock ORDER BY id") { $0.int64(0) } == [ids[0], ids[1]])
    let left = try db.rows("SELECT owner, block.rows FROM run JOIN block ON run = run.id ORDER BY owner") { [$0.int64(0), $0.int64(1)] }
    #expect(left == [[ids[0], 10], [ids[1], 10]])
  }

  @Test("a partition that moves to another file brings its clock, once for the views that share it")
  func take() throws {
    let folder = try TemporaryDirectory()
    defer { withExtendedLifetime(folder) {} }
    let other = try Self.open(folder.path + "/other.sqlite"), own = try Self.open(folder.path + "/own.sqlite")
    func add(_ db: SQLiteConnection, _ partition: Int, _ names: [String]) throws -> Int64 {
      let clocks = SourceClocks(partition: PartitionID(partition), firstOffset: .zero, aheadMax: 0)
      clocks.advance(.placed(names.map { Self.event($0, 7) }, at: 0, appendTime: 9, partition: PartitionID(partition)))
      let id = try StoredSources.add(clocks, to: db)
      try StoredSources.write(clocks, clock: id, to: db)
      return id
    }
    let here = try add(own, 1, ["x"])
    _ = try add(other, 5, ["unused"])
    let there = try add(other, 2, ["a", "b", "c"])
    for view in [11, 12] as [Int64] { try Self.setProgress(other, view: view, 2, next: 3, clock: there) }
    try Self.setProgress(other, view: 13, 2, next: 3, clock: nil)
    try own.run("ATTACH DATABASE ? AS other", folder.path + "/other.sqlite")
    for view in [1, 2, 3] as [Int64] {
      try Self.setProgress(own, view: view, 2, next: 3, clock: nil)
      try StoredSources.take(own, view: view, PartitionID(2), from: view + 10, in: "other")
    }
    let first = try #require(try StoredSources.clock(own, view: 1, PartitionID(2)))
    #expect(first.id != here && first.nextOffset == Offset(3))
    #expect(try StoredSources.clock(own, view: 2, PartitionID(2)) == first)
    #expect(try StoredSources.clock(own, view: 3, PartitionID(2)) == nil)
    #expect(Self.names(try SourceRuns.page(own, clock: first.id, SourceRange(limit: 10))) == ["a", "b", "c"])
    #expect(try own.first("SELECT sum(rows) FROM block") { $0.int(0) } == 4)
  }
}
