import Aggregates
import Events
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

@Suite("Compaction")
struct CompactionTests {
  private static let owner = RunOwner.rows(view: 1, PartitionID(0))
  private static let layout = StateLayout([StateLayout.Column(function: .countRows, argument: nil)])

  @Test("runs of about one size are merged, so an owner has few, and a byte is written a few times", arguments: [UInt64(1), 2, 3])
  func plan(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var runs: [Int] = []
    var added = 0, written = 0
    for _ in 0..<20_000 {
      let bytes = Int.random(in: 1...100_000, using: &random)
      runs.insert(bytes, at: 0)
      added += bytes
      while let chosen = CompactionPlan.choose(runs) {
        #expect(chosen.count >= 2 && chosen.count <= CompactionPlan.fanInMax)
        let sum = runs[chosen].reduce(0, +)
        runs.replaceSubrange(chosen, with: [sum])
        written += sum
      }
      #expect(runs.count <= CompactionPlan.runsMax + CompactionPlan.fanIn)
    }
    #expect(Double(written) / Double(added) < 8, "seed \(seed): \(written) of \(added)")
  }

  @Test("runs that have the same rows again and again stay as small as one of them")
  func planOfHotRows() {
    var runs: [Int] = []
    var written = 0
    for _ in 0..<10_000 {
      runs.insert(50_000, at: 0)
      while let chosen = CompactionPlan.choose(runs) {
        runs.replaceSubrange(chosen, with: [50_000])
        written += 50_000
      }
    }
    #expect(runs.count <= CompactionPlan.fanIn)
    #expect(written <= 10_000 * 50_000 / 4, "a merge for each fan-in of runs")
  }

  // MARK: steps

  private struct Row: Equatable {
    var events: Int64
    var count: UInt64
  }

  private static func open() throws -> SQLiteConnection {
    let db = try SQLiteConnection(path: ":memory:")
    try CheckpointSchema.create(db)
    return db
  }

  private static func rows(_ db: SQLiteConnection) throws -> [RowPlace: Row] {
    var merge = try RunMerge(db, owner, layout, from: RowPlace(slot: .min, key: []), through: .max)
    var rows: [RowPlace: Row] = [:]
    var last: RowPlace?
    while try merge.next(db, { row in
      let place = RowPlace(slot: row.slot, key: Array(row.key))
      if let last { #expect(last.isBefore(place)) }
      last = place
      rows[place] = Row(events: row.events, count: row.state[0])
    }) {}
    return rows
  }

  private static func places(_ db: SQLiteConnection, _ run: StoredRun) throws -> [RowPlace] {
    var blocks = StoredBlocks(run: run.id, stride: layout.stride, from: RowPlace(slot: .min, key: []), through: .max)
    var places: [RowPlace] = []
    while let block = try blocks.next(db) { places += block.rows.map { block.place($0) } }
    return places
  }

  /// Adds a run of random versions, to the file and to the model.
  private static func addRun(_ db: SQLiteConnection, _ model: inout [RowPlace: Row], _ random: inout SeededGenerator) throws {
    let places = (0..<Int.random(in: 1...400, using: &random)).map { _ in
      RowPlace(
        slot: Int64.random(in: -3...3, using: &random),
        // Long keys: a block has few.
        key: Array(repeating: UInt8(ascii: "k"), count: Int.random(in: 0...300, using: &random))
          + [UInt8.random(in: 0...9, using: &random)])
    }
    var run = RunWriter(db, owner, stride: layout.stride)
    for place in Set(places).sorted(by: { $0.isBefore($1) }) {
      let events = Int64.random(in: 1...5, using: &random)
      let isWhole = Bool.random(using: &random)
      let before = model[place] ?? Row(events: 0, count: 0)
      // A whole version counts what the row counts, and is the first or takes the place of all before.
      let after = Row(events: before.events + events, count: before.count + UInt64(events))
      model[place] = after
      try place.key.withUnsafeBytes { key in
        try [isWhole ? after.count : UInt64(events)].withUnsafeBufferPointer {
          try run.append(RunRow(slot: place.slot, key: key, isWhole: isWhole, events: events, state: $0))
        }
      }
    }
    try run.finish()
  }

  @Test("whatever steps are made or cut short, and whatever comes between them, the rows are the same", arguments: 1...20)
  func steps(seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let db = try Self.open()
    var model: [RowPlace: Row] = [:]
    var dropped = 0
    for _ in 0..<Int.random(in: 1...9, using: &random) { try Self.addRun(db, &model, &random) }
    for _ in 0..<30 {
      let runs = try StoredRuns.list(db, Self.owner)
      guard !runs.isEmpty else { break }
      let first = Int.random(in: 0..<runs.count, using: &random)
      let chosen = Array(runs[first...Int.random(in: first..<runs.count, using: &random)])
      var output: Int64?
      var filter = RunFilter(rows: max(1024, chosen.reduce(0) { $0 + $1.rows }))
      var stepsLeft = Int.random(in: 1...20, using: &random)
      while stepsLeft > 0 {
        stepsLeft -= 1
        var step = try CompactionStep(
          db, chosen, stride: Self.layout.stride, bytesMax: Int.random(in: 0...200_000, using: &random))
        try step.merge(Self.layout, filter: &filter)
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          // A run that is added meanwhile is newer than all that is merged.
          try Self.addRun(db, &model, &random)
        case 1:
          let slot = Int64.random(in: -4...3, using: &random)
          let gone = model.filter { $0.key.slot <= slot }
          let count = try StoredRuns.trim(db, Self.owner, through: slot, stride: Self.layout.stride)
          #expect(count == Int(gone.values.reduce(0) { $0 + $1.events }), "seed \(seed)")
          for place in gone.keys { model[place] = nil }
          dropped += count
        default: break
        }
        let applied = try db.transaction { try step.apply(db, Self.owner, to: output, filter) }
        guard let run = applied else { break }
        output = run
        if step.isLast { break }
        if Bool.random(using: &random) { try #require(try Self.rows(db) == model, "seed \(seed)") }
      }
      try #require(try Self.rows(db) == model, "seed \(seed)")
      let counted = Int(model.values.reduce(0) { $0 + $1.events })
      #expect(try StoredRuns.statedEvents(db, Self.owner) == counted)
      let sums = try db.rows(
        """
        SELECT run.bytes, sum(length(block.bytes)), run.rows, sum(block.rows) FROM run LEFT JOIN block ON run = run.id
        GROUP BY run.id
        """
      ) { [$0.int(0), $0.int(1), $0.int(2), $0.int(3)] }
      #expect(sums.allSatisfy { $0[0] == $0[1] && $0[0] > 0 && $0[2] == $0[3] }, "a run states its bytes and rows: \(sums)")
      for run in try StoredRuns.list(db, Self.owner) where run.filterParts > 0 {
        for place in try Self.places(db, run) {
          let hash = place.key.withUnsafeBytes { RunFilter.hash($0) }
          #expect(try StoredRuns.mayHave(db, run, hash), "seed \(seed): a filter leaves out no key of its run")
        }
      }
    }
    #expect(dropped >= 0)
  }

  /// Merges an owner's runs as the compactor does.
  static func compact(_ db: SQLiteConnection, _ owner: RunOwner, stride: Int, layout: StateLayout?) throws {
    while case let runs = try StoredRuns.list(db, owner), let chosen = CompactionPlan.choose(runs.map(\.bytes)) {
      var output: Int64?
      var filter = RunFilter(rows: runs[chosen].reduce(0) { $0 + $1.rows })
      var isDone = false
      while !isDone {
        var step = try CompactionStep(db, Array(runs[chosen]), stride: stride)
        try step.merge(layout, filter: &filter)
        let applied = try db.transaction { try step.apply(db, owner, to: output, filter) }
        output = try #require(applied)
        isDone = step.isLast
      }
    }
  }

  @Test("a part of a block may take more than one: the wide rows at its end are noticed sooner there")
  func partOfBlock() throws {
    var random = SeededGenerator(seed: 8)
    let stride = 8
    func append(_ number: Int, isWide: Bool, to builder: inout RunBlockBuilder) {
      let state = (0..<stride).map { _ in isWide ? UInt64.random(in: .min ... .max, using: &random) : 7 }
      withUnsafeBytes(of: UInt32(number).bigEndian) { key in
        state.withUnsafeBufferPointer {
          builder.append(RunRow(slot: 0, key: key, isWhole: true, events: 1, state: $0))
        }
      }
    }
    var builder = RunBlockBuilder(stride: stride)
    var number = 0
    while !builder.isFull {
      append(number, isWide: number >= 2000, to: &builder)
      number += 1
    }
    let taken = builder.take()
    let encoded = try #require(taken)
    let block = try encoded.bytes.withUnsafeBytes { try RunBlock($0, stride: stride) }
    var most = 0
    for start in 0..<200 {
      let parts = builder.blocks(of: block, start..<block.rows.upperBound)
      most = max(most, parts.count)
      let rows = try parts.map { part in try part.bytes.withUnsafeBytes { try RunBlock($0, stride: stride) } }
        .flatMap { part in part.rows.map { part.place($0) } }
      #expect(rows == (start..<block.rows.upperBound).map { block.place($0) })
    }
    #expect(most > 1, "the test sees the case")
  }

  @Test("a step whose blocks have gone meanwhile changes nothing")
  func goneMeanwhile() throws {
    var random = SeededGenerator(seed: 5)
    let db = try Self.open()
    var model: [RowPlace: Row] = [:]
    for _ in 0..<4 { try Self.addRun(db, &model, &random) }
    var step = try CompactionStep(db, try StoredRuns.list(db, Self.owner), stride: Self.layout.stride)
    var filter: RunFilter?
    try step.merge(Self.layout, filter: &filter)
    #expect(step.isLast)
    #expect(try StoredRuns.remove(db, Self.owner))
    #expect(try step.apply(db, Self.owner, to: nil, nil) == nil)
    #expect(try Self.rows(db).isEmpty && StoredRuns.list(db, Self.owner).isEmpty)
  }

  @Test("a filter has all keys that were added, and about one of a hundred others", arguments: [1024, 50_000])
  func filter(rows: Int) throws {
    var filter = try #require(RunFilter(rows: rows))
    func hash(_ number: Int) -> UInt64 { Array("device/\(number)".utf8).withUnsafeBytes { RunFilter.hash($0) } }
    for number in 0..<rows { filter.add(hash(number)) }
    var parts: [[UInt8]] = []
    filter.forEachPart { parts.append(Array($1)) }
    func mayHave(_ number: Int) -> Bool {
      let hash = hash(number)
      return parts[RunFilter.part(of: hash, parts.count)].withUnsafeBytes { RunFilter.mayHave(hash, $0) }
    }
    #expect((0..<rows).allSatisfy(mayHave))
    #expect((rows..<(rows + 20_000)).count(where: mayHave) < 600)
    #expect(RunFilter(rows: 1023) == nil && RunFilter(rows: 16_000_001) == nil)
  }

  @Test("one key's rows are those of all rows, in any range of slots")
  func keys() throws {
    var random = SeededGenerator(seed: 6)
    let db = try Self.open()
    var model: [RowPlace: Row] = [:]
    for _ in 0..<5 { try Self.addRun(db, &model, &random) }
    for key in Set(model.keys.map(\.key)).union([[], [9, 9]]) {
      let lower = Int64.random(in: -4...3, using: &random)
      let slots = lower...Int64.random(in: lower...4, using: &random)
      var found: [RowPlace: Row] = [:]
      var merge = RunMerge(
        try StoredRuns.list(db, Self.owner).map { StoredKeyRows(run: $0.id, stride: Self.layout.stride, key: key, slots) },
        layout: Self.layout)
      while try merge.next(db, { found[RowPlace(slot: $0.slot, key: Array($0.key))] = Row(events: $0.events, count: $0.state[0]) }) {}
      #expect(found == model.filter { $0.key.key == key && slots.contains($0.key.slot) })
    }
  }
}
