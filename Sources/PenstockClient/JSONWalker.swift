/// Walks over JSON text (RFC 8259), strictly, without building values: finds the members that a client needs, and recognises text
/// that is no JSON.
struct JSONWalker {
  /// Deeper text is taken for malformed: a server refuses it long before.
  static let depthMax = 512

  let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// A string's bytes between its quotes.
  struct Text {
    var start: Int
    var end: Int
    var hasEscapes: Bool
  }

  mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  /// Whether nothing but space is left.
  mutating func isAtEnd() -> Bool {
    skipSpace()
    return position == bytes.count
  }

  /// The next byte that is no space; nil at the end.
  mutating func peek() -> UInt8? {
    skipSpace()
    return position < bytes.count ? bytes[position] : nil
  }

  /// Passes `byte` if it comes next, after space.
  mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  mutating func takeString() -> Text? {
    guard take(0x22) else { return nil }
    let start = position
    var hasEscapes = false
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      if byte == 0x22 { return Text(start: start, end: position - 1, hasEscapes: hasEscapes) }
      if byte < 0x20 { return nil }
      guard byte == 0x5C else { continue }
      hasEscapes = true
      guard position < bytes.count else { return nil }
      let escape = bytes[position]
      position += 1
      switch escape {
      case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: break
      case 0x75:
        guard position + 4 <= bytes.count else { return nil }
        for _ in 0..<4 {
          guard JSONWalker.hexDigit(bytes[position]) != nil else { return nil }
          position += 1
        }
      default: return nil
      }
    }
    return nil
  }

  private mutating func skipDigits() -> Bool {
    let start = position
    while position < bytes.count, bytes[position] &- 0x30 < 10 { position += 1 }
    return position > start
  }

  private mutating func skipNumber() -> Bool {
    if bytes[position] == 0x2D { position += 1 }
    guard position < bytes.count else { return false }
    if bytes[position] == 0x30 { position += 1 } else if !skipDigits() { return false }
    if position < bytes.count, bytes[position] == 0x2E {
      position += 1
      guard skipDigits() else { return false }
    }
    if position < bytes.count, bytes[position] | 0x20 == 0x65 {
      position += 1
      if position < bytes.count, bytes[position] == 0x2B || bytes[position] == 0x2D { position += 1 }
      guard skipDigits() else { return false }
    }
    return true
  }

  private mutating func skipWord(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard position + count <= bytes.count else { return false }
    for index in 0..<count where bytes[position + index] != word.utf8Start[index] { return false }
    position += count
    return true
  }

  /// Passes one value.
  /// - Returns: False if it is malformed: the position means nothing then.
  mutating func skipValue(depth: Int = 0) -> Bool {
    guard depth < JSONWalker.depthMax, let first = peek() else { return false }
    switch first {
    case 0x22: return takeString() != nil
    case 0x7B:
      position += 1
      if take(0x7D) { return true }
      repeat {
        guard takeString() != nil, take(0x3A), skipValue(depth: depth + 1) else { return false }
      } while take(0x2C)
      return take(0x7D)
    case 0x5B:
      position += 1
      if take(0x5D) { return true }
      repeat {
        guard skipValue(depth: depth + 1) else { return false }
      } while take(0x2C)
      return take(0x5D)
    case 0x74: return skipWord("true")
    case 0x66: return skipWord("false")
    case 0x6E: return skipWord("null")
    case 0x2D, 0x30...0x39: return skipNumber()
    default: return false
    }
  }

  /// Passes a value and gives it if it is an unsigned integer written with digits alone, at most `UInt64.max`; nil for any other
  /// value.
  /// - Returns: The outer optional is nil if the value is malformed.
  mutating func takeUnsigned() -> UInt64?? {
    skipSpace()
    let start = position
    guard skipValue() else { return nil }
    var value: UInt64 = 0
    for index in start..<position {
      let digit = bytes[index] &- 0x30
      guard digit < 10 else { return .some(nil) }
      let (high, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = high.addingReportingOverflow(UInt64(digit))
      if overflow || carry { return .some(nil) }
      value = sum
    }
    return .some(value)
  }

  func equals(_ text: Text, _ other: StaticString) -> Bool {
    guard text.end - text.start == other.utf8CodeUnitCount else { return false }
    for index in 0..<other.utf8CodeUnitCount where bytes[text.start + index] != other.utf8Start[index] { return false }
    return true
  }

  /// The unescaped string. Half a surrogate pair becomes U+FFFD.
  func decode(_ text: Text) -> String {
    let raw = UnsafeRawBufferPointer(rebasing: bytes[text.start..<text.end])
    guard text.hasEscapes else { return String(decoding: raw, as: UTF8.self) }
    var units: [UInt16] = []
    var result = ""
    var at = 0, plainStart = 0
    func flushUnits() {
      result += String(decoding: units, as: UTF16.self)
      units.removeAll(keepingCapacity: true)
    }
    while at < raw.count {
      guard raw[at] == 0x5C else {
        at += 1
        continue
      }
      if at > plainStart {
        flushUnits()
        result += String(decoding: raw[plainStart..<at], as: UTF8.self)
      }
      switch raw[at + 1] {
      case 0x75:
        var unit: UInt16 = 0
        for index in at + 2..<at + 6 { unit = unit << 4 | UInt16(JSONWalker.hexDigit(raw[index]) ?? 0) }
        units.append(unit)
        at += 6
      case let escape:
        let plain: UInt8 =
          switch escape {
          case 0x62: 0x08
          case 0x66: 0x0C
          case 0x6E: 0x0A
          case 0x72: 0x0D
          case 0x74: 0x09
          default: escape
          }
        units.append(UInt16(plain))
        at += 2
      }
      plainStart = at
    }
    flushUnits()
    return result + String(decoding: raw[plainStart...], as: UTF8.self)
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }
}
