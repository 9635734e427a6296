import Aggregates
import TestSupport
import Testing
import Views

@testable import Compute

@Suite struct RunDamageTests {
  /// Blocks of a few rows, of many layouts, some with tails.
  private func smallBlocks(_ seeds: ClosedRange<UInt64>) -> [(bytes: [UInt8], rows: [PlainRow], layout: StateLayout)] {
    seeds.compactMap { seed in
      var runs = RandomRuns(seed: seed, stateCount: 4)
      let all = runs.run(Int.random(in: 1...6, using: &runs.random))
      let block = encodedBlocks(all, stride: runs.layout.stride)[0]
      return block.bytes.count < 2500 ? (block.bytes, Array(all[..<block.rows]), runs.layout) : nil
    }
  }

  @Test("every truncation of a block is found, and so is every byte that changed")
  func everyByte() {
    let blocks = smallBlocks(1...12)
    #expect(blocks.count > 6)
    for (bytes, _, layout) in blocks {
      for count in 0..<bytes.count {
        #expect(throws: RunBlockDamage.self) { try decoded(Array(bytes[..<count]), stride: layout.stride, layout: layout) }
      }
      #expect(throws: RunBlockDamage.self) { try decoded(bytes + [0], stride: layout.stride, layout: layout) }
      for place in bytes.indices {
        for change: UInt8 in [1, 0x80, 0xFF] {
          var damaged = bytes
          damaged[place] ^= change
          #expect(throws: RunBlockDamage.self) { try decoded(damaged, stride: layout.stride, layout: layout) }
        }
      }
    }
  }

  /// Gives bytes the checksum that they should have.
  private func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var sealed = bytes
    let sum = bytes.withUnsafeBytes { RunBlock.checksum(of: $0) }
    for byte in 0..<4 { sealed[RunBlock.checksumPlace + byte] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * byte)) }
    return sealed
  }

  @Test("a changed block whose checksum matches is refused, or has rows in order whose states are the layout's")
  func forged() {
    var random = SeededGenerator(seed: 1)
    var accepted = 0, refused = 0
    for (bytes, _, layout) in smallBlocks(1...40) {
      for place in bytes.indices where !(4..<8).contains(place) {
        var forged = bytes
        forged[place] = .random(in: 0...255, using: &random)
        do throws(RunBlockDamage) {
          let found = rows(of: try decoded(sealed(forged), stride: layout.stride, layout: layout))
          #expect(zip(found, found.dropFirst()).allSatisfy { $0.place.isBefore($1.place) })
          #expect(found.allSatisfy { $0.version.state.withUnsafeBufferPointer { layout.isCanonical($0) } })
          accepted += 1
        } catch { refused += 1 }
      }
    }
    #expect(accepted > 100 && refused > 100)
  }

  // MARK: Blocks made by hand

  /// A block of any columns: slots, keys' lengths, shared bytes, events, the state's words, the tails' words.
  private func block(
    rows: Int, flags: UInt8 = RunBlock.allWhole, stride: Int = 0, ending: [UInt8] = [], keys: [UInt8], tails: [UInt8] = [],
    _ columns: [[UInt64]]
  ) -> [UInt8] {
    func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    var bytes: [UInt8] = [RunBlock.format, flags]
    bytes += number(UInt16(rows)) + number(UInt32(0)) + number(UInt16(stride)) + number(UInt16(ending.count))
    bytes += number(UInt32(ending.count + keys.count)) + number(UInt32(tails.count))
    for (index, values) in columns.enumerated() {
      var survey = RunColumnSurvey()
      survey.add(values, values.count)
      let column = survey.column
      var own = [UInt8](repeating: 0, count: column.byteCount(values.count) + 8)
      own.withUnsafeMutableBytes { _ = column.write(values, values.count, to: $0.baseAddress!) }
      bytes += own.dropLast(8)
      if index == 2 { bytes += ending + keys }
    }
    return sealed(bytes + tails + [UInt8](repeating: 0, count: 8))
  }

  private func same(_ value: UInt64, _ count: Int) -> [UInt64] { Array(repeating: value, count: count) }

  @Test("a block that is made by hand reads: the ones below are refused for what is wrong with them")
  func byHand() throws {
    let made = block(rows: 3, ending: [8, 9], keys: [1, 2, 3], [[5, 5, 5], [4, 4, 3], [0, 1, 1], [7, 7, 7]])
    #expect(
      rows(of: try decoded(made, stride: 0))
        == [[1, 2, 8, 9], [1, 3, 8, 9], [1, 8, 9]].map {
          PlainRow(RowPlace(slot: 5, key: $0), PlainVersion(isWhole: true, events: 7, state: []))
        })
    #expect(throws: RunBlockDamage.stride(0)) { try decoded(made, stride: 3) }
  }

  @Test("keys that share their bytes do not come to more than a block may have")
  func sharedKeys() {
    // Each key is the one before it and a byte: 70 kB that would be 280 MB.
    let rows = 4096
    let bytes = block(
      rows: rows, keys: Array(repeating: 1, count: 65_536 + rows - 1),
      [
        same(0, rows), (0..<rows).map { UInt64(65_536 + $0) }, (0..<rows).map { $0 == 0 ? 0 : UInt64(65_535 + $0) },
        same(1, rows),
      ])
    #expect(throws: RunBlockDamage.bounds) { try decoded(bytes, stride: 0) }
  }

  @Test("lengths that the bytes cannot hold are refused before anything is made of them")
  func lengths() {
    for huge: UInt64 in [3, 1 << 31, 1 << 62, 1 << 63, .max] {
      for column in 1...2 {
        var columns: [[UInt64]] = [[0, 1], [1, 1], [0, 0], [1, 1]]
        columns[column][1] = huge
        #expect(throws: RunBlockDamage.bounds) { try decoded(block(rows: 2, keys: [1, 2], columns), stride: 0) }
      }
      let tail = block(
        rows: 2, flags: RunBlock.allWhole | RunBlock.tails, keys: [1, 2], tails: [0, 0],
        [[0, 1], [1, 1], [0, 0], [1, 1], [1, huge]])
      #expect(throws: RunBlockDamage.bounds) { try decoded(tail, stride: 0) }
    }
    for (ending, length) in [(9, 9), (2, 1), (65_535, 65_535)] {
      let bytes = block(rows: 1, ending: Array(repeating: 1, count: ending), keys: [], [[0], [UInt64(length)], [0], [1]])
      #expect(throws: RunBlockDamage.bounds) { try decoded(bytes, stride: 0) }
    }
    for rows in [0, 4097, 65_535] {
      #expect(throws: RunBlockDamage.bounds) {
        try decoded(block(rows: rows, keys: [], [[0], [0], [0], [0]]), stride: 0)
      }
    }
    let wide = block(rows: 4096, stride: 17, keys: [], [same(0, 4096), same(0, 4096)] + (0..<19).map { _ in same(0, 4096) })
    #expect(throws: RunBlockDamage.bounds) { try decoded(wide, stride: 17) }
    #expect(throws: RunBlockDamage.bounds) {
      try decoded(block(rows: 1, stride: 65_535, keys: [], [[0], [0], [0], [0]]), stride: 65_535)
    }
  }

  @Test("rows out of order are refused, and rows that come twice")
  func order() {
    let cases: [(slots: [UInt64], lengths: [UInt64], shared: [UInt64], keys: [UInt8])] = [
      ([1, 0], [1, 1], [0, 0], [1, 2]), ([0, 0], [1, 1], [0, 0], [2, 1]), ([0, 0], [1, 1], [0, 0], [1, 1]),
      ([0, 0], [1, 1], [0, 1], [1]), ([0, 0], [2, 1], [0, 1], [1, 1]), ([0, 0], [0, 0], [0, 0], []),
      ([1 << 63 - 1, 1 << 63], [1, 1], [0, 0], [1, 2]),
    ]
    for (slots, lengths, shared, keys) in cases {
      let bytes = block(rows: 2, keys: keys, [slots, lengths, shared, [1, 1]])
      #expect(throws: RunBlockDamage.order) { try decoded(bytes, stride: 0) }
    }
  }

  @Test("a state that is not the layout's is refused where the layout is known")
  func otherStates() throws {
    let layout = StateLayout([.init(function: .countRows, argument: nil)])
    let bytes = block(rows: 1, stride: 1, keys: [], [[0], [0], [0], [1], [1 << 63]])
    #expect(throws: RunBlockDamage.state) { try decoded(bytes, stride: 1, layout: layout) }
    #expect(rows(of: try decoded(bytes, stride: 1))[0].version.state == [1 << 63])
  }
}
