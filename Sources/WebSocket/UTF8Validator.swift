/// Checks UTF-8 that comes in pieces, and fails at the first byte that no continuation could make valid.
///
/// The automaton is Björn Höhrmann's ("Flexible and Economical UTF-8 Decoder", https://bjoern.hoehrmann.de/utf-8/decoder/dfa/),
/// laid out as one 64-bit row a byte that holds the next state for every state (Per Vognsen's "shift-based DFA"):
/// a step is a load and a shift. Surrogates, overlong forms and anything above U+10FFFF are rejected.
struct UTF8Validator {
  /// The state's number times six, as a shift.
  private var state: UInt64 = UTF8Validator.accept

  private static let accept: UInt64 = 0
  private static let reject: UInt64 = 6

  /// Whether the last character is complete.
  var isComplete: Bool { state == Self.accept }

  mutating func reset() { state = Self.accept }

  /// - Returns: False once the bytes can't be the beginning of valid UTF-8.
  mutating func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return state != Self.reject }
    let rows = Self.rows
    let count = bytes.count
    var state = state
    var at = 0
    while at &+ 32 <= count {
      if state == Self.accept {
        let block = base.loadUnaligned(fromByteOffset: at, as: SIMD4<UInt64>.self)
        let halves = block.lowHalf | block.highHalf
        if (halves.x | halves.y) & nonASCIIBits == 0 {
          at &+= 32
          continue
        }
      }
      for next in at..<(at &+ 32) {
        state = rows[Int(base.load(fromByteOffset: next, as: UInt8.self))] &>> state & 63
      }
      at &+= 32
      if state == Self.reject { break }
    }
    while at < count {
      state = rows[Int(base.load(fromByteOffset: at, as: UInt8.self))] &>> state & 63
      at &+= 1
    }
    self.state = state
    return state != Self.reject
  }

  static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var validator = UTF8Validator()
    return validator.accepts(bytes) && validator.isComplete
  }

  /// 256 rows. Filled once by its initialiser, never written or freed after: safe to read from any thread.
  nonisolated(unsafe) private static let rows: UnsafePointer<UInt64> = {
    // Höhrmann's byte classes, and his transitions with states numbered 0 (accept), 1 (reject), 2...8.
    let transitions: [[UInt64]] = [
      // class: 0  1  2  3  4  5  6  7  8  9 10 11
      [0, 1, 2, 3, 5, 8, 7, 1, 1, 1, 4, 6],
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      [1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1],
      [1, 2, 1, 1, 1, 1, 1, 2, 1, 2, 1, 1],
      [1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1],
      [1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1],
      [1, 1, 1, 1, 1, 1, 1, 3, 1, 3, 1, 1],
      [1, 3, 1, 1, 1, 1, 1, 3, 1, 3, 1, 1],
      [1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
    let rows = UnsafeMutablePointer<UInt64>.allocate(capacity: 256)
    for byte in 0..<256 {
      let byteClass = Self.byteClass(UInt8(byte))
      var row: UInt64 = 0
      for state in 0..<transitions.count {
        row |= transitions[state][byteClass] * 6 << UInt64(6 * state)
      }
      rows[byte] = row
    }
    return UnsafePointer(rows)
  }()

  private static func byteClass(_ byte: UInt8) -> Int {
    switch byte {
    case 0x00...0x7F: 0
    case 0x80...0x8F: 1
    case 0x90...0x9F: 9
    case 0xA0...0xBF: 7
    case 0xC0, 0xC1: 8
    case 0xC2...0xDF: 2
    case 0xE0: 10
    case 0xE1...0xEC, 0xEE, 0xEF: 3
    case 0xED: 4
    case 0xF0: 11
    case 0xF1...0xF3: 6
    case 0xF4: 5
    default: 8
    }
  }
}
