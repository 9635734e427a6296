import TestSupport
import Testing
import Views

@testable import Compute

@Suite struct RowOrderTests {
  @Test("rows are sorted as by comparing slots and keys", arguments: 1...120 as ClosedRange<UInt64>)
  func differential(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let count = [0, 1, 2, 23, 24, 25, 300, 300, 5000].randomElement(using: &random)!
    let keyKind = Int.random(in: 0..<8, using: &random), slotKind = Int.random(in: 0..<6, using: &random)
    let keyMax = [3, 40, 100_000].randomElement(using: &random)!
    var keys = KeyTable()
    var slots: [Int64] = [], numbers: [Int32] = []
    for _ in 0..<count {
      let key = key(keyKind, Int.random(in: 0..<keyMax, using: &random), &random)
      numbers.append(Int32(key.withUnsafeBytes { keys.number(of: $0) }))
      slots.append(slot(slotKind, &random))
    }
    // Some of the rows, as those that changed, and each slot and key once.
    var seen: Set<RowPlace> = []
    var rows = (0..<Int32(count)).shuffled(using: &random).filter { row in
      seen.insert(place(row, slots, numbers, keys)).inserted && Int.random(in: 0..<5, using: &random) > 0
    }
    let expected = rows.sorted { place($0, slots, numbers, keys).isBefore(place($1, slots, numbers, keys)) }
    RowOrder.sort(&rows, slots: slots, keyNumbers: numbers, keys)
    #expect(rows == expected, "seed \(seed): keys \(keyKind) of \(keyMax), slots \(slotKind), \(rows.count) rows")
    RowOrder.sort(&rows, slots: slots, keyNumbers: numbers, keys)
    #expect(rows == expected, "seed \(seed): sorted again")
  }

  private func place(_ row: Int32, _ slots: [Int64], _ numbers: [Int32], _ keys: KeyTable) -> RowPlace {
    RowPlace(slot: slots[Int(row)], key: keys.withKey(Int(numbers[Int(row)])) { Array($0) })
  }

  private func key(_ kind: Int, _ number: Int, _ random: inout SeededGenerator) -> [UInt8] {
    switch kind {
    case 0: KeyCodec.encode([.string("sensor-\(number)")])
    case 1: KeyCodec.encode([.string("region-\(number % 7)"), .string("a-name-longer-than-eight-bytes-\(number)")])
    case 2: KeyCodec.encode([.int(Int64(number) - 20), .double(Double(number) / 7), .null])
    case 3: Array(repeating: 0, count: number % 400)  // prefixes of one another, all of zeros
    case 4: (0..<number % 40).map { _ in UInt8.random(in: 0...1, using: &random) }
    case 5: (0..<number % 12).map { _ in UInt8.random(in: 0...255, using: &random) }
    case 6: Array(repeating: 7, count: 300) + [UInt8(number % 256)] + Array(repeating: 9, count: number % 20)
    default: (0..<12).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
  }

  private func slot(_ kind: Int, _ random: inout SeededGenerator) -> Int64 {
    switch kind {
    case 0: 1_800_000_000_000_000_000
    case 1: 1_800_000_000_000_000_000 + Int64.random(in: 0..<3, using: &random) * 60_000_000_000
    case 2: Int64.random(in: -1000...1000, using: &random) * 1_000_000
    case 3: .random(in: .min ... .max, using: &random)
    case 4: [.min, .max, 0, -1].randomElement(using: &random)!
    default: Int64.random(in: -2...2, using: &random) << 40
    }
  }
}
