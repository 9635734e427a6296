import TestSupport
import Testing

@testable import WebSocket

@Suite("UTF-8 and masks")
struct TextAndMaskTests {
  private static func isValid(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { UTF8Validator.isValid($0) } }

  @Test("all of 1 and 2 bytes, and 3 and 4 at the classes' edges, are judged as the standard library judges them")
  func shortSequences() {
    for first in UInt8.min...UInt8.max {
      #expect(Self.isValid([first]) == (first < 0x80))
      for second in UInt8.min...UInt8.max {
        let bytes = [first, second]
        if Self.isValid(bytes) != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("\(bytes)") }
      }
    }
    // One byte on either side of each edge between the automaton's classes.
    let edges: [UInt8] = [
      0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5,
    ]
    for a in edges {
      for b in edges {
        for c in edges {
          for d in edges {
            let bytes = [a, b, c, d]
            if Self.isValid(bytes) != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("\(bytes)") }
          }
          let bytes = [a, b, c]
          if Self.isValid(bytes) != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("\(bytes)") }
        }
      }
    }
  }

  @Test("every scalar is valid, in one text of them all")
  func everyScalar() {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4_400_000)
    for value in 0...0x10FFFF as ClosedRange<UInt32> {
      guard let scalar = Unicode.Scalar(value), let encoded = UTF8.encode(scalar) else { continue }
      // Four-byte characters are many: test every 17th, and the first and last of each 4096.
      if value > 0xFFFF && value % 17 != 0 && (1..<4095).contains(value & 0xFFF) { continue }
      bytes.append(contentsOf: encoded)
    }
    #expect(Self.isValid(bytes))
    #expect(!Self.isValid(Array(bytes.dropLast())))
  }

  @Test("random bytes in random pieces are judged as in one piece and as the standard library judges them")
  func pieces() {
    let seed: UInt64 = 0x5EED_0001
    var random = SeededGenerator(seed: seed)
    for round in 0..<1000 {
      var bytes: [UInt8] = []
      while bytes.count < Int.random(in: 0...90, using: &random) {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: bytes.append(UInt8.random(in: 0...255, using: &random))
        case 1...4: bytes += Array("é€😀".utf8)
        default: bytes += [UInt8](repeating: 65, count: 9)
        }
      }
      if round % 3 == 0, !bytes.isEmpty { bytes.removeLast() }
      var validator = UTF8Validator()
      var accepted = true
      var at = 0
      while at < bytes.count && accepted {
        let end = Int.random(in: at...bytes.count, using: &random)
        accepted = bytes[at..<end].withUnsafeBytes { validator.accepts($0) }
        at = end
      }
      let isValid = accepted && validator.isComplete
      #expect(isValid == (String(validating: bytes, as: UTF8.self) != nil), "seed \(seed), round \(round)")
      #expect(isValid == Self.isValid(bytes), "seed \(seed), round \(round)")
    }
  }

  @Test("masks apply at every length, alignment and turn of the key as byte by byte, and touch nothing else")
  func masks() {
    var random = SeededGenerator(seed: 0x5EED_0002)
    let source = (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) }
    let key: UInt32 = 0xC4B3_A291
    let keyBytes: [UInt8] = [0x91, 0xA2, 0xB3, 0xC4]
    for count in 0...140 {
      for alignment in 0..<9 {
        let turn = (count + alignment) % 4
        var target = [UInt8](repeating: 0xEE, count: 320)
        let seen = source.withUnsafeBytes { from in
          target.withUnsafeMutableBytes { to in
            copyMasked(
              from: from.baseAddress! + alignment, to: to.baseAddress! + 8 + alignment % 3, count: count,
              key: rotated(key, by: turn))
          }
        }
        let plain = (0..<count).map { source[alignment + $0] ^ keyBytes[(turn + $0) % 4] }
        let start = 8 + alignment % 3
        #expect(Array(target[start..<(start + count)]) == plain, "count \(count), alignment \(alignment)")
        #expect(target[..<start].allSatisfy { $0 == 0xEE } && target[(start + count)...].allSatisfy { $0 == 0xEE })
        #expect((seen & nonASCIIBits == 0) == plain.allSatisfy { $0 < 0x80 }, "count \(count), alignment \(alignment)")
      }
    }
  }

  @Test("one byte that is not ASCII is noticed at every place of every length")
  func noticesNonASCII() {
    for count in 1...100 {
      for place in 0..<count {
        var source = [UInt8](repeating: 65, count: count)
        source[place] = 0x80
        var target = source
        let seen = source.withUnsafeBytes { from in
          target.withUnsafeMutableBytes { to in
            copyMasked(from: from.baseAddress!, to: to.baseAddress!, count: count, key: 0)
          }
        }
        #expect(seen & nonASCIIBits != 0, "byte \(place) of \(count)")
      }
    }
  }
}
