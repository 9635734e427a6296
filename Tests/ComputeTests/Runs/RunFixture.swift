import Aggregates
import Events
import Expressions
import TestSupport
import Testing
import Views

@testable import Compute

/// A version of a row with memory of its own.
struct PlainVersion: Hashable {
  var isWhole: Bool
  var events: Int64
  var state: [UInt64]
}

struct PlainRow: Hashable {
  var place: RowPlace
  var version: PlainVersion

  init(_ place: RowPlace, _ version: PlainVersion) { (self.place, self.version) = (place, version) }

  init(_ row: RunRow) {
    place = RowPlace(slot: row.slot, key: Array(row.key))
    version = PlainVersion(isWhole: row.isWhole, events: row.events, state: Array(row.state))
  }

  /// Gives the row as a run's.
  func withRow<R>(_ body: (RunRow) throws -> R) rethrows -> R {
    try place.key.withUnsafeBytes { key in
      try version.state.withUnsafeBufferPointer { state in
        try body(RunRow(slot: place.slot, key: key, isWhole: version.isWhole, events: version.events, state: state))
      }
    }
  }
}

/// A run's blocks in memory.
struct ListedBlocks: RunBlocks {
  var blocks: [RunBlock]

  mutating func next(_ reader: Void) -> RunBlock? { blocks.isEmpty ? nil : blocks.removeFirst() }
}

/// Encodes rows; a block ends where it is full, and after about `rowsPerBlock`.
func encodedBlocks(_ rows: [PlainRow], stride: Int, rowsPerBlock: Int = .max) -> [EncodedBlock] {
  var builder = RunBlockBuilder(stride: stride)
  var blocks: [EncodedBlock] = []
  for row in rows {
    if builder.isFull || builder.count >= rowsPerBlock, let block = builder.take() { blocks.append(block) }
    row.withRow { builder.append($0) }
  }
  if let block = builder.take() { blocks.append(block) }
  return blocks
}

func decoded(_ bytes: [UInt8], stride: Int, layout: StateLayout? = nil) throws(RunBlockDamage) -> RunBlock {
  let result = bytes.withUnsafeBytes { bytes in
    Result { () throws(RunBlockDamage) in try RunBlock(bytes, stride: stride, layout: layout) }
  }
  return try result.get()
}

func rows(of block: RunBlock) -> [PlainRow] { block.rows.map { block.withRow($0) { PlainRow($0) } } }

/// A run of rows that come in order.
func listedRun(_ rows: [PlainRow], stride: Int, rowsPerBlock: Int = .max) throws -> ListedBlocks {
  ListedBlocks(
    blocks: try encodedBlocks(rows, stride: stride, rowsPerBlock: rowsPerBlock).map { try decoded($0.bytes, stride: stride) })
}

/// All rows that a merge gives.
func merged(_ runs: [ListedBlocks], _ layout: StateLayout?) throws -> [PlainRow] {
  var merge = RunMerge(runs, layout: layout)
  var rows: [PlainRow] = []
  while try merge.next((), { rows.append(PlainRow($0)) }) {}
  return rows
}

func nextRow(_ merge: inout RunMerge<ListedBlocks>) throws -> PlainRow? {
  var row: PlainRow?
  return try merge.next((), { row = PlainRow($0) }) ? row : nil
}

/// Random rows of a random layout.
struct RandomRuns {
  var random: SeededGenerator
  let layout: StateLayout
  /// Rows take their states from these.
  private var states: [[UInt64]] = []

  private static let functions: [AggregateFunction] = [
    .countRows, .count, .sum, .avg, .min, .max, .variance, .first, .last, .quantile(0.5), .countDistinct, .rate,
  ]

  init(seed: UInt64, stateCount: Int = 24) {
    var random = SeededGenerator(seed: seed)
    let count = Int.random(in: 1...5, using: &random)
    layout = StateLayout(
      (0..<count).map { _ in
        let function = RandomRuns.functions.randomElement(using: &random)!
        return .init(function: function, argument: function == .countRows ? nil : 0)
      })
    self.random = random
    for _ in 0..<stateCount { states.append(randomState()) }
  }

  /// The canonical state of a few events.
  private mutating func randomState() -> [UInt64] {
    let isWild = Int.random(in: 0..<4, using: &random) == 0
    let count = [0, 1, 3, 3, 30].randomElement(using: &random)!
    var texts: [String] = []
    let cells: [TableRows.Cell] = (0..<count).map { _ in
      switch Int.random(in: 0..<(isWild ? 10 : 6), using: &random) {
      case 6: return .string(String(repeating: "x", count: Int.random(in: 0...40, using: &random)))
      case 7: return .int(.random(in: .min ... .max, using: &random))
      case 8: return .double(.random(in: -1e300...1e300, using: &random))
      case 9: return .null
      default: return .double(Double(Int.random(in: -500...10_000, using: &random)) / 100)
      }
    }
    let table = TableRows(["data.x": cells])
    for code in 0..<table.stringCount { table.withString(code) { texts.append(String(decoding: $0, as: UTF8.self)) } }
    var vector = ValueVector()
    table.load(.data(["x"]), into: &vector)
    var rows = StateRows(layout: layout)
    rows.append()
    let times = cells.map { _ in 1_800_000_000_000_000_000 + Int64.random(in: 0..<60_000, using: &random) * 1_000_000 }
    let base = Int64.random(in: 0..<1_000_000, using: &random)
    Array(repeating: Int32(0), count: count).withUnsafeBufferPointer { slots in
      times.withUnsafeBufferPointer { times in
        let batch = StateRows.Batch(slots: slots, times: times, baseOffset: Offset(base))
        rows.foldRows(batch)
        rows.fold(argument: 0, vector, batch) { code, body in Array(texts[code].utf8).withUnsafeBytes(body) }
      }
    }
    var words: [UInt64] = []
    rows.appendCanonical(0, to: &words)
    return words
  }

  mutating func version(isWhole: Bool) -> PlainVersion {
    PlainVersion(isWhole: isWhole, events: .random(in: -3...100, using: &random), state: states.randomElement(using: &random)!)
  }

  /// Places in order, each once.
  mutating func places(_ count: Int) -> [RowPlace] {
    let slotKind = Int.random(in: 0..<4, using: &random)
    let keyKind = Int.random(in: 0..<6, using: &random)
    var places: Set<RowPlace> = []
    for _ in 0..<count { places.insert(RowPlace(slot: slot(slotKind), key: key(keyKind))) }
    return places.sorted { $0.isBefore($1) }
  }

  private mutating func slot(_ kind: Int) -> Int64 {
    switch kind {
    case 0: 1_800_000_000_000_000_000
    case 1: Int64.random(in: -3...3, using: &random) * 60_000_000_000
    case 2: [.min, .min + 1, -1, 0, 1, .max - 1, .max].randomElement(using: &random)!
    default: .random(in: .min ... .max, using: &random)
    }
  }

  private mutating func key(_ kind: Int) -> [UInt8] {
    let number = Int.random(in: 0..<2000, using: &random)
    switch kind {
    case 0: return KeyCodec.encode([.string("sensor-\(number)")])
    case 1: return KeyCodec.encode([.string("ams"), .int(Int64(number)), .bool(number % 2 == 0)])
    case 2: return (0..<Int.random(in: 0...10, using: &random)).map { _ in UInt8.random(in: 0...1, using: &random) * 255 }
    case 3: return Array(repeating: 7, count: number % 300)
    case 4: return Array(repeating: 9, count: 900) + withUnsafeBytes(of: UInt16(number).bigEndian) { Array($0) }
    default: return (0..<(number % 12)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
  }

  /// A run's rows in order.
  mutating func run(_ count: Int) -> [PlainRow] {
    let wholeOf4 = Int.random(in: 0...4, using: &random)
    return places(count).map { place in
      PlainRow(place, version(isWhole: Int.random(in: 0..<4, using: &random) < wholeOf4))
    }
  }
}
