import Aggregates
import Events
import Expressions
import Foundation
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

/// The read engine against a dictionary of what memory and the file have, and against folds that have all in memory.
@Suite("Differential: reads of memory and file")
struct ReadEngineDifferentialTests {
  /// One worker's folds, of which memory lets go now and then, beside folds of the same events that nothing is taken from.
  private final class Stage {
    static let active = ActiveSources(idle: .max)
    let folder: String
    let store: CheckpointStore
    let record: GenerationRecord
    var definition: ViewDefinition { record.definition }
    let horizons: RetentionHorizons
    let folds: [GenerationFold]
    let whole: [GenerationFold]
    private var scratch = EvaluationScratch()
    private var next: [PartitionID: Offset] = [:]

    init(_ yaml: String, partitions: Int) throws {
      folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-reads-\(UUID())").path
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      store = try CheckpointStore(directory: folder, worker: 0, logger: ComputeFixture.logger)
      let definition = try #require(try ViewCatalog(yaml: yaml, file: "test.yaml").views.first)
      horizons = RetentionHorizons(partitionCount: partitions)
      record = GenerationRecord(
        definition: definition, number: 1, state: .live, promotes: false, from: OffsetVector(), to: nil,
        createdAt: Timestamp(nanoseconds: 0))
      let (record, view) = (record, try store.generations.viewID(of: record))
      func made() -> [GenerationFold] {
        (0..<partitions).map { number in
          let progress = PartitionProgress(partition: PartitionID(number), firstOffset: .zero, nextOffset: .zero)
          var fold = GenerationFold(
            id: record.id, viewID: view, box: FoldBox(ViewFold(definition: definition, progress: progress)))
          fold.sources = SourceBox(SourceClocks(partition: progress.partition, firstOffset: .zero, aheadMax: .max))
          return fold
        }
      }
      folds = made()
      whole = made()
    }

    func fold(_ events: [Event]) throws {
      let byPartition = Dictionary(grouping: events) { PartitionID($0.source.utf8.reduce(0) { $0 + Int($1) } % folds.count) }
      for (partition, events) in byPartition {
        var batch = ColumnBatch(events: events, partition: partition)
        let base = next[partition] ?? .zero
        batch.place(partition: partition, baseOffset: base, appendTime: Timestamp(nanoseconds: 0))
        next[partition] = batch.endOffset
        let events = batch.times()
        for (fold, isWhole) in [(folds[partition.index], false), (whole[partition.index], true)] {
          try store.advance(#require(fold.sources), over: batch, events)
          let times = fold.times(of: batch, events, aheadMax: .max)
          if !isWhole { try store.restoreSessions(fold, for: batch, times, scratch: &scratch) }
          fold.box.fold.fold(batch, times, scratch: &scratch)
        }
      }
    }

    /// - Parameter bytesMax: The bytes of rows that stay in memory.
    func checkpoint(bytesMax: Int) throws {
      _ = try store.checkpoint(folds, [], horizons)
      MemoryBound(bytesMax: bytesMax).enforce(on: folds.map(\.box), folds.compactMap(\.sources))
    }

    func snapshot(_ range: RowRange) throws -> ReadSnapshot {
      let pin = store.file.pin()
      return try #require(try ReadSnapshot.take([(record, folds)], range, pin: pin, store, { _ in Stage.active }))[0]
    }

    /// The rows that the folds would have if none were ever left to the file.
    func truth(_ range: RowRange) -> ReadSnapshot {
      var snapshot = ReadSnapshot(record)
      for fold in whole { snapshot.add(fold, range, nil, Stage.active) }
      return snapshot
    }

    private struct Place: Hashable {
      var slot: Int64
      var end: Int64
      var key: [UInt8]
    }

    /// The versions of rows in the file, run by run, the newest first.
    private func forEachVersion(
      _ db: SQLiteConnection, _ fold: GenerationFold, _ body: (Place, _ isWhole: Bool, _ state: [UInt64]) -> Void
    ) throws {
      for run in try StoredRuns.list(db, .rows(view: fold.viewID, fold.partition)) {
        let blocks = try db.rows("SELECT bytes FROM block WHERE run = ?", run.id) { row in
          try StoredBlocks.decode(row.bytes(0), definition.layout.stride, run: run.id)
        }
        for block in blocks {
          for row in block.rows {
            block.withRow(row) { row in
              let place = Place(slot: row.slot, end: definition.window.end(ofSlot: row.slot), key: Array(row.key))
              body(place, row.isWhole, Array(row.state))
            }
          }
        }
      }
    }

    private func forEachSession(
      _ db: SQLiteConnection, _ fold: GenerationFold, _ body: (Place, _ state: [UInt64]) throws -> Void
    ) throws {
      let sql = "SELECT window_start, window_end, key, state FROM session WHERE view = ? AND partition = ?"
      try db.withStatement(sql) { row in
        try row.bind([fold.viewID, fold.partition.index])
        while try row.step() {
          var state: [UInt64] = []
          try #require(StateCodec.decode(row.bytes(3), definition.layout, appendingTo: &state))
          try body(Place(slot: row.int64(0), end: row.int64(1), key: Array(row.bytes(2))), state)
        }
      }
    }

    /// One fold's rows as they are kept, in the canonical order: each place's states, of the file unless memory has all of it,
    /// and of memory.
    func plainRows(_ fold: GenerationFold, _ range: RowRange) throws -> PartialRows {
      var rows = PartialRows(stride: definition.layout.stride)
      guard let kept = fold.kept(range) else { return rows }
      let slots = definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
      func isWanted(_ place: Place) -> Bool {
        slots.contains(place.slot) && range.key.map { $0 == place.key } ?? true
      }
      var hot = PartialRows(stride: rows.stride)
      var isPartial: [Bool] = []
      fold.box.fold.copyRows(.min ... .max, key: nil, into: &hot, isPartial: &isPartial)
      var states: [Place: [[UInt64]]] = [:]
      var wholePlaces: Set<Place> = []
      for row in 0..<hot.count {
        let place = Place(slot: hot.windowStarts[row], end: hot.windowEnds[row], key: hot.withKey(row) { Array($0) })
        states[place] = [hot.withState(row) { Array($0) }]
        if !isPartial[row] { wholePlaces.insert(place) }
      }
      try store.file.withWriter { db in
        switch definition.window.keeping {
        case .slots:
          try forEachVersion(db, fold) { place, isWhole, state in
            guard !wholePlaces.contains(place) else { return }
            states[place, default: []].append(state)
            if isWhole { wholePlaces.insert(place) }
          }
        case .sessions:
          try forEachSession(db, fold) { place, state in
            // Memory has all sessions of a key that end later.
            let held = place.key.withUnsafeBytes { fold.box.fold.rows.missingRows(ofKey: $0, endingAfter: .min) } ?? .min
            if place.end > held || place.end <= fold.box.fold.keptAfter ?? .min { return }
            states[place, default: []].append(state)
          }
        }
      }
      for (place, states) in states where isWanted(place) {
        var merging = StateRows(layout: definition.layout)
        merging.append()
        for state in states { state.withUnsafeBufferPointer { merging.merge(into: 0, $0) } }
        place.key.withUnsafeBytes { key in
          rows.append(partition: fold.partition, windowStart: place.slot, windowEnd: place.end, key: key) {
            merging.appendCanonical(0, to: &$0)
          }
        }
      }
      return rows.ordered()
    }

    /// The results' windows of all folds.
    func plain(_ range: RowRange) throws -> PartialRows {
      var rows = PartialRows(stride: definition.layout.stride)
      var from: [PartitionID: Int64] = [:]
      for fold in folds {
        rows.append(contentsOf: try plainRows(fold, range))
        from[fold.partition] = fold.kept(range)?.lowerBound
      }
      return rows.windows(of: definition, from: { from[$0] ?? .max }, through: range.through).ordered()
    }

    func remove() throws {
      store.file.close()
      try FileManager.default.removeItem(atPath: folder)
    }
  }

  private static func isSame(_ a: PartialRows, _ b: PartialRows) -> Bool {
    a.windowStarts == b.windowStarts && a.windowEnds == b.windowEnds && a.partitions == b.partitions && a.keyEnds == b.keyEnds
      && a.keyBytes == b.keyBytes && a.stateEnds == b.stateEnds && a.states == b.states
  }

  /// Keys of a source's own partition, or of all; every third seed has a retention.
  private static func yaml(_ kind: WindowTests.Kind, seed: UInt64) -> String {
    var yaml = WindowTests.views(kind)
    if seed % 2 == 0 { yaml = yaml.replacingOccurrences(of: "key: [source]", with: "key: [data.label]") }
    if seed % 3 == 0 { yaml += "\n    retention: 150s" }
    return yaml
  }

  private static func range(_ stage: Stage, _ random: inout SeededGenerator) throws -> RowRange {
    var range = RowRange()
    let first = WindowTests.start + Int64.random(in: -50...400, using: &random) * WindowTests.second
    if Bool.random(using: &random) { range.from = first }
    if Bool.random(using: &random) { range.through = first + Int64.random(in: 0...300, using: &random) * WindowTests.second }
    if Int.random(in: 0..<3, using: &random) == 0 {
      let number = Int.random(in: 0..<14, using: &random)
      range.key = KeyCodec.encode([.string(stage.definition.hasSourceKey ? "device/\(number)" : "label-\(number)")])
    }
    return range
  }

  @Test(
    "pages and pieces are what a dictionary of memory and file has, and what memory alone would have",
    arguments: WindowTests.Kind.allCases, [UInt64(1), 2, 3, 4, 5, 6])
  func sameRows(kind: WindowTests.Kind, seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed &* 7919)
    let stage = try Stage(Self.yaml(kind, seed: seed), partitions: 1 + Int(seed % 3))
    let definition = stage.definition
    var rest = WindowTests.events(seed: seed, count: 700)[...]
    var compared = 0
    while !rest.isEmpty {
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let part = rest.prefix(Int.random(in: 1...50, using: &random))
        rest = rest.dropFirst(part.count)
        try stage.fold(Array(part))
        let bytesMax = [0, 3000, 20_000, 1 << 30].randomElement(using: &random) ?? 0
        if Bool.random(using: &random) { try stage.checkpoint(bytesMax: bytesMax) }
      }
      let range = try Self.range(stage, &random)
      let note = "\(kind), seed \(seed), \(700 - rest.count) events, \(range)"
      let expected = try stage.plain(range)
      let snapshot = try stage.snapshot(range)
      // Events after the moment are in none of its rows.
      if Bool.random(using: &random) {
        try stage.fold(Array(rest.prefix(20)))
        rest = rest.dropFirst(20)
        try stage.checkpoint(bytesMax: 0)
      } else {
        let truth = try await stage.truth(range).result(through: range.through)
        let page = try await snapshot.result(through: range.through)
        #expect(truth.asOf == page.asOf && truth.eventTimeWatermarks == page.eventTimeWatermarks, "\(note)")
        // Memory knows of no rows that were dropped: the page says which may be.
        let end = page.expiredEnd
        try #require(
          Self.isSame(page.rows.retained(for: definition, after: end), truth.rows.retained(for: definition, after: end)),
          "\(note)")
      }
      let page = try await snapshot.result(through: range.through)
      try #require(Self.isSame(page.rows, expected), "\(note): \(page.rows.count) rows of \(expected.count)")
      let rowsMax = Int.random(in: 1...40, using: &random)
      var reader = SnapshotReader(snapshot, through: range.through, rowsMax: rowsMax)
      var pieces = PartialRows(stride: expected.stride)
      while let piece = try await reader.next() { pieces.append(contentsOf: piece) }
      try #require(Self.isSame(pieces, expected), "\(note): by \(rowsMax)")
      var stream = MergedPieces(
        definition: definition, reader: SnapshotReader(snapshot, through: range.through, rowsMax: rowsMax))
      var streamed = PartialRows(stride: expected.stride)
      while let piece = try await stream.next() { streamed.append(contentsOf: piece) }
      if !definition.joinsSessions(keptKeys: nil) {
        try #require(Self.isSame(streamed, expected.merged(for: definition)), "\(note): merged by \(rowsMax)")
      }
      compared += expected.count
    }
    #expect(compared > 0)
    try stage.remove()
  }

  @Test(
    "a filter and keys merged away give the same of both", arguments: WindowTests.Kind.allCases, [UInt64(11), 12])
  func filtered(kind: WindowTests.Kind, seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let stage = try Stage(Self.yaml(kind, seed: seed), partitions: 2)
    let definition = stage.definition
    let key = definition.hasSourceKey ? "source" : "label"
    let condition = try Expression(
      parsing: definition.hasSourceKey ? #"source > "device/2" && source < "device/8""# : #"label != "label-7""#,
      scope: definition.schema.keyScope)
    for part in stride(from: 0, to: 600, by: 60) {
      try stage.fold(Array(WindowTests.events(seed: seed, count: 600)[part..<part + 60]))
      if Bool.random(using: &random) { try stage.checkpoint(bytesMax: 0) }
      let page = try await stage.snapshot(.all).result(through: .max)
      let expected = try stage.plain(.all)
      var scratch = EvaluationScratch()
      let (a, b) = (
        page.rows.filtered(by: condition, keys: [key], using: &scratch),
        expected.filtered(by: condition, keys: [key], using: &scratch)
      )
      try #require(Self.isSame(a, b) && (a.count < page.rows.count || page.rows.count == 0), "\(kind), seed \(seed), \(part)")
      for keptKeys in [[], [0]] {
        let step: Int64? = if case .tumble = kind { 180 * WindowTests.second } else { nil }
        try #require(
          Self.isSame(
            a.merged(for: definition, keptKeys: keptKeys, step: step), b.merged(for: definition, keptKeys: keptKeys, step: step)),
          "\(kind), seed \(seed), \(part), keys \(keptKeys)")
      }
    }
    try stage.remove()
  }

  @Test("at every row, what follows it is read on", arguments: WindowTests.Kind.allCases, [UInt64(21), 22])
  func everyRow(kind: WindowTests.Kind, seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let stage = try Stage(Self.yaml(kind, seed: seed), partitions: 2)
    let definition = stage.definition
    let events = WindowTests.events(seed: seed, count: 500)
    for part in stride(from: 0, to: 500, by: 50) {
      try stage.fold(Array(events[part..<part + 50]))
      // The last events are in memory only.
      if part < 450 { try stage.checkpoint(bytesMax: [0, 6000].randomElement(using: &random) ?? 0) }
    }
    var fromFile = 0
    for range in [RowRange.all, try Self.range(stage, &random)] {
      let snapshot = try stage.snapshot(range)
      for one in snapshot.folds {
        let expected = try stage.plainRows(stage.folds[one.partition.index], range)
        var cursor = FoldCursor(one, definition, .none)
        try await cursor.fill()
        var taken = PartialRows(stride: expected.stride)
        for row in 0..<expected.count {
          let place = expected.place(row)
          cursor.take(through: place, into: &taken)
          let isLastOfPlace = row == expected.count - 1 || expected.order(row + 1, place) > 0
          if isLastOfPlace { #expect(taken.count == row + 1, "\(kind), seed \(seed), row \(row)") }
        }
        try #require(Self.isSame(taken, expected) && cursor.isDone, "\(kind), seed \(seed), \(range)")
        guard let file = one.stored else { continue }
        let all = try await file.piece(after: nil, definition, .none).rows
        fromFile += all.count
        var inPieces = PartialRows(stride: all.stride)
        var last: StoredPiece?
        repeat {
          let bounds = PieceBounds(rowsMax: Int.random(in: 1...5, using: &random), bytesMax: .max)
          let piece = try await file.piece(after: last, definition, bounds)
          #expect(piece.rows.count > 0 || piece.through == nil, "a piece has a row")
          #expect(piece.through == nil || piece.through == piece.rows.place(piece.rows.count - 1))
          inPieces.append(contentsOf: piece.rows)
          last = piece
        } while last?.through != nil
        try #require(Self.isSame(inPieces, all), "\(kind), seed \(seed), \(range)")
      }
    }
    #expect(fromFile > 0)
    try stage.remove()
  }
}
