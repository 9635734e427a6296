import Aggregates
import TestSupport
import Testing
import Views

@testable import Compute

@Suite struct RunBlockTests {
  @Test("rows come back from their blocks as they were", arguments: 1...120 as ClosedRange<UInt64>)
  func roundTrip(seed: UInt64) throws {
    var runs = RandomRuns(seed: seed)
    let all = runs.run([1, 2, 15, 16, 17, 200, 700].randomElement(using: &runs.random)!)
    let blocks = encodedBlocks(
      all, stride: runs.layout.stride, rowsPerBlock: [.max, 100, 1].randomElement(using: &runs.random)!)
    var found: [PlainRow] = []
    for encoded in blocks {
      let block = try decoded(encoded.bytes, stride: runs.layout.stride, layout: runs.layout)
      let own = rows(of: block)
      found += own
      #expect(encoded.rows == own.count && encoded.events == own.reduce(0) { $0 + $1.version.events }, "seed \(seed)")
      #expect(encoded.first == own.first?.place && encoded.last == own.last?.place, "seed \(seed)")
      for row in block.rows {
        #expect(block.place(row) == own[row].place && block.slot(row) == own[row].place.slot, "seed \(seed)")
      }
    }
    #expect(found == all, "seed \(seed)")
  }

  @Test("a place is found at or before the first row that is not before it, within the rows that count")
  func position() throws {
    var runs = RandomRuns(seed: 3)
    for _ in 0..<20 {
      let all = runs.run(60)
      var block = try decoded(
        try #require(encodedBlocks(all, stride: runs.layout.stride).first).bytes, stride: runs.layout.stride)
      if Bool.random(using: &runs.random) { block.rows = (block.rows.count / 4)..<(block.rows.count / 2) }
      for place in all.map(\.place) + runs.places(40) {
        let expected = block.rows.first { !block.place($0).isBefore(place) } ?? block.rows.upperBound
        #expect(place.key.withUnsafeBytes { block.position(notBefore: place.slot, $0) } == expected)
      }
    }
  }

  @Test("a builder begins anew after each block, and gives none without rows")
  func anew() {
    var runs = RandomRuns(seed: 8)
    let all = runs.run(40)
    var builder = RunBlockBuilder(stride: runs.layout.stride)
    #expect(builder.take() == nil)
    var blocks: [[UInt8]] = []
    for _ in 0..<3 {
      for row in all { row.withRow { builder.append($0) } }
      #expect(builder.count == all.count)
      if let block = builder.take() { blocks.append(block.bytes) }
      #expect(builder.take() == nil && builder.count == 0)
    }
    #expect(blocks.count == 3 && Set(blocks).count == 1)
  }

  @Test("a state may have no words")
  func noWords() throws {
    let all = (0..<5).map { PlainRow(RowPlace(slot: $0, key: []), PlainVersion(isWhole: true, events: 1, state: [])) }
    #expect(rows(of: try decoded(encodedBlocks(all, stride: 0)[0].bytes, stride: 0)) == all)
  }

  // MARK: Size

  /// Rows of sensors with `count`, `sum`, `min` and `max` of values with two decimals.
  private func sensorRows(_ count: Int, perRow: Int = 12) -> (rows: [PlainRow], layout: StateLayout) {
    var random = SeededGenerator(seed: 5)
    let layout = StateLayout([
      .init(function: .countRows, argument: nil), .init(function: .sum, argument: 0), .init(function: .min, argument: 0),
      .init(function: .max, argument: 0),
    ])
    let places = (0..<count).map { RowPlace(slot: 60_000_000_000, key: KeyCodec.encode([.string("sensor-\(10_000 + $0)")])) }
    return (
      places.map { place in
        let values = (0..<perRow).map { _ in Double(Int.random(in: -500...4000, using: &random)) / 100 }
        return PlainRow(place, PlainVersion(isWhole: true, events: Int64(perRow), state: stateWords(layout, values)))
      }, layout
    )
  }

  @Test("a row of two-decimal values takes less than 40 % of its words and key")
  func size() {
    let (all, layout) = sensorRows(2000)
    let bytes = encodedBlocks(all, stride: layout.stride).reduce(0) { $0 + $1.bytes.count }
    let raw = all.reduce(0) { $0 + $1.place.key.count + 8 + 8 + $1.version.state.count * 8 }
    #expect(bytes * 10 < raw * 4, "\(bytes) of \(raw)")
  }

  @Test("a block is full at about 32 KiB, at 4096 rows, and where much memory takes few bytes")
  func full() throws {
    let (all, layout) = sensorRows(6000)
    let blocks = encodedBlocks(all, stride: layout.stride)
    for block in blocks.dropLast() { #expect((28 << 10..<36 << 10).contains(block.bytes.count), "\(block.bytes.count) bytes") }
    #expect(blocks.count > 2)

    let small = (0..<5000).map { PlainRow(RowPlace(slot: $0, key: []), PlainVersion(isWhole: true, events: 1, state: [7])) }
    #expect(encodedBlocks(small, stride: 1).map(\.rows) == [4096, 904])

    let wide = (0..<300).map {
      PlainRow(RowPlace(slot: $0, key: []), PlainVersion(isWhole: true, events: 1, state: Array(repeating: 7, count: 300)))
    }
    #expect(encodedBlocks(wide, stride: 300).map(\.rows) == [219, 81])

    let long = (0..<1000).map {
      PlainRow(
        RowPlace(slot: 0, key: Array(repeating: 1, count: 2000) + withUnsafeBytes(of: UInt16($0).bigEndian) { Array($0) }),
        PlainVersion(isWhole: true, events: 1, state: [7]))
    }
    let ofLong = encodedBlocks(long, stride: 1)
    #expect(ofLong.allSatisfy { $0.rows <= 132 } && ofLong.count > 7)
    #expect(try ofLong.flatMap { rows(of: try decoded($0.bytes, stride: 1)) } == long)
  }

  @Test("a row larger than a block has one of its own")
  func large() throws {
    let layout = StateLayout([.init(function: .rate, argument: 0)])
    let state = stateWords(layout, (0..<4000).map { Double($0) * 1.37 })
    let all = (0..<3).map { PlainRow(RowPlace(slot: $0, key: [1]), PlainVersion(isWhole: false, events: 4000, state: state)) }
    let blocks = encodedBlocks(all, stride: layout.stride)
    #expect(blocks.map(\.rows) == [1, 1, 1])
    #expect(try blocks.flatMap { rows(of: try decoded($0.bytes, stride: layout.stride, layout: layout)) } == all)
  }

  // MARK: Columns

  @Test("every column comes back, to the bit", arguments: 1...200 as ClosedRange<UInt64>)
  func columns(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let count = Int.random(in: 1...100, using: &random)
    let kind = Int.random(in: 0..<8, using: &random)
    let digits = Int.random(in: 0...7, using: &random)
    let shift = UInt64.random(in: 0..<64, using: &random)
    let unit = RunColumn.units.randomElement(using: &random)!
    let odd: [Double] = [-0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0x1p51, 0.1]
    let values: [UInt64] = (0..<count).map { index in
      switch kind {
      case 0: return .random(in: .min ... .max, using: &random)
      case 1: return UInt64.random(in: 0..<1000, using: &random) << shift
      case 2: return UInt64(bitPattern: -Int64.random(in: -9...1000, using: &random)) &* unit &+ 7
      case 3: return (Double(Int.random(in: -99_999...999_999, using: &random)) / RunColumn.powers.last! * 10).bitPattern
      case 4:
        let power = (0..<digits).reduce(1.0) { power, _ in power * 10 }
        return (Double(Int.random(in: -9999...9999, using: &random)) / power).bitPattern
      case 5: return index % 7 == 6 ? odd.randomElement(using: &random)!.bitPattern : 21.53.bitPattern
      case 6: return Bool.random(using: &random) ? 0 : .max
      default: return [0, UInt64(Int64.max), 1 << 63, .max].randomElement(using: &random)!
      }
    }
    #expect(throughColumn(values, cuts: Int.random(in: 1...count, using: &random)) == values, "seed \(seed), kind \(kind)")
  }

  /// Writes and reads a column whose values came in two parts.
  private func throughColumn(_ values: [UInt64], cuts: Int) -> [UInt64] {
    var survey = RunColumnSurvey()
    values.withUnsafeBufferPointer {
      survey.add($0.baseAddress!, cuts)
      survey.add($0.baseAddress! + cuts, values.count - cuts)
    }
    let column = survey.column
    var bytes = [UInt8](repeating: 0, count: column.byteCount(values.count) + 8)
    var found = [UInt64](repeating: 0, count: values.count)
    bytes.withUnsafeMutableBytes { bytes in
      let end = column.write(values, values.count, to: bytes.baseAddress!)
      #expect(end - bytes.baseAddress! == column.byteCount(values.count))
      column.read(0..<values.count, bytes.baseAddress! + RunColumn.headerBytes) { found[$0] = $1 }
    }
    return found
  }

  @Test("a column takes the bytes that its values need")
  func widths() {
    func width(_ values: [UInt64]) -> Int {
      var survey = RunColumnSurvey()
      survey.add(values, values.count)
      return survey.column.width
    }
    #expect(width([5, 5, 5]) == 0)
    #expect(width([5, 260]) == 1 && width([5, 262]) == 2)
    #expect(width([0, .max]) == 1)  // 0 and −1
    #expect(width([1 << 63, UInt64(Int64.max)]) == 8)
    #expect(width([21.53, 21.54, -3.01].map(\.bitPattern)) == 2)
    #expect(width([0.001, 0.25, 0].map(\.bitPattern)) == 1)
    #expect(width([.infinity, 21.53].map(\.bitPattern)) == 8)
    let minute: UInt64 = 60_000_000_000
    #expect(width([1000 * minute, 1001 * minute, 1255 * minute]) == 2)
    #expect(width((0..<256).map { 7 + UInt64($0) << 40 }) == 1)
  }
}
