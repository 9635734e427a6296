import Events
import Expressions

/// The tuple of a row's key values as bytes whose order under memcmp is the order of the values, so that rows sort, group and
/// compare without being decoded.
///
/// ```
/// null    01                       false  02            true  03
/// number  04 | 8 bytes | 2 bytes   the largest double not above it (sign bit flipped if positive, else all bits), big-endian;
///                                  then what the number has above that double, 0 but for ints beyond 2^53
/// time    05 | 8 bytes             nanoseconds, sign bit flipped, big-endian
/// string  06 | UTF-8 | 00 00       a byte 00 in it is written 00 FF
/// ```
/// null < false < true < numbers < times < strings; a tuple that is a prefix of another comes first. An int or a uint and the
/// double equal to it are one key, and are read back as the integer where there is one; −0 is 0.
public enum KeyCodec {
  private static let null: UInt8 = 1, no: UInt8 = 2, yes: UInt8 = 3, number: UInt8 = 4, time: UInt8 = 5, string = stringMark

  /// Appends one value of a batch. A missing value, an error, a list or an object counts as null.
  /// - Parameters:
  ///   - kind: The value's kind.
  ///   - bits: The value's bits, as in a `ValueVector`.
  ///   - rows: The source to look a string's code up in.
  ///   - key: The buffer to append to.
  public static func append(_ kind: ValueKind, _ bits: UInt64, _ rows: some RowSource, to key: inout [UInt8]) {
    switch kind {
    case .bool: key.append(bits == 0 ? no : yes)
    case .int: append(int: Int64(bitPattern: bits), to: &key)
    case .uint: append(uint: bits, to: &key)
    case .double: append(double: Double(bitPattern: bits), to: &key)
    case .time: append(time: Int64(bitPattern: bits), to: &key)
    case .string: rows.withString(Int(bits)) { append(string: $0, to: &key) }
    case .raw:
      // JSON's integers beyond Int64 come as text.
      let whole = rows.withString(Int(bits)) { $0.count <= 20 ? UInt64(String(decoding: $0, as: UTF8.self)) : nil }
      if let whole { append(uint: whole, to: &key) } else { key.append(null) }
    case .missing, .error, .null, .object: key.append(null)
    }
  }

  /// The first byte of a string.
  public static let stringMark: UInt8 = 6
  /// The bytes of a string beside its own, where it has no byte 00.
  public static let stringOverhead = 3

  public static func append(_ value: ResultValue, to key: inout [UInt8]) {
    switch value {
    case .null: key.append(null)
    case .bool(let value): key.append(value ? yes : no)
    case .int(let value): append(int: value, to: &key)
    case .uint(let value): append(uint: value, to: &key)
    case .double(let value): append(double: value, to: &key)
    case .time(let value): append(time: value.nanoseconds, to: &key)
    case .string(var value): value.withUTF8 { append(string: UnsafeRawBufferPointer($0), to: &key) }
    }
  }

  /// The tuple's bytes.
  public static func encode(_ values: [ResultValue]) -> [UInt8] {
    var key: [UInt8] = []
    for value in values { append(value, to: &key) }
    return key
  }

  /// The values of a tuple.
  /// - Returns: Nil when the bytes are no tuple: damaged, or of another version.
  public static func decode(_ key: UnsafeRawBufferPointer) -> [ResultValue]? {
    var values: [ResultValue] = []
    var at = 0
    while at < key.count {
      guard let value = decode(key, &at) else { return nil }
      values.append(value)
    }
    return values
  }

  public static func decode(_ key: [UInt8]) -> [ResultValue]? { key.withUnsafeBytes { decode($0) } }

  /// The bytes of each value in a tuple, for regrouping by fewer keys without decoding.
  /// - Returns: Nil when the bytes are no tuple.
  public static func ranges(in key: UnsafeRawBufferPointer) -> [Range<Int>]? {
    var ranges: [Range<Int>] = []
    var at = 0
    while at < key.count {
      let start = at
      guard skip(key, &at) else { return nil }
      ranges.append(start..<at)
    }
    return ranges
  }

  /// The bytes of one value in a tuple.
  /// - Returns: Nil when the tuple has no such value, or the bytes before it are none.
  static func range(of column: Int, in key: UnsafeRawBufferPointer) -> Range<Int>? {
    var at = 0
    for _ in 0..<column {
      guard at < key.count, skip(key, &at) else { return nil }
    }
    let start = at
    guard at < key.count, skip(key, &at) else { return nil }
    return start..<at
  }

  /// The UTF-8 of a value that is a string.
  /// - Parameter value: One value's bytes, as `range(of:in:)` gives them.
  /// - Returns: Nil when the value is no string.
  static func withText<R>(_ value: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R) -> R? {
    guard value.first == string else { return nil }
    let text = UnsafeRawBufferPointer(rebasing: value.dropFirst().dropLast(2))
    guard text.contains(0) else { return body(text) }
    var plain: [UInt8] = []
    var at = 0
    while at < text.count {
      plain.append(text[at])
      at += text[at] == 0 ? 2 : 1
    }
    return plain.withUnsafeBytes { body($0) }
  }

  // MARK: Writing

  private static func append(int value: Int64, to key: inout [UInt8]) {
    let nearest = Double(value)  // may lie above it, even at 2^63, which no Int64 is
    var floor = nearest
    if nearest >= 0x1p63 || Int64(nearest) > value { floor = nearest.nextDown }
    append(floor, excess: UInt16(value &- Int64(floor)), to: &key)
  }

  private static func append(uint value: UInt64, to key: inout [UInt8]) {
    let nearest = Double(value)
    var floor = nearest
    if nearest >= 0x1p64 || UInt64(nearest) > value { floor = nearest.nextDown }
    append(floor, excess: UInt16(value &- UInt64(floor)), to: &key)
  }

  private static func append(double value: Double, to key: inout [UInt8]) {
    // A key is never NaN or infinite: JSON has neither, and a computed value is no key.
    value.isFinite ? append(value, excess: 0, to: &key) : key.append(null)
  }

  private static func append(_ floor: Double, excess: UInt16, to key: inout [UInt8]) {
    let bits = (floor + 0).bitPattern  // −0 becomes 0
    let ordered = bits >> 63 == 0 ? bits | 1 << 63 : ~bits
    key.append(number)
    withUnsafeBytes(of: ordered.bigEndian) { key.append(contentsOf: $0) }
    withUnsafeBytes(of: excess.bigEndian) { key.append(contentsOf: $0) }
  }

  private static func append(time value: Int64, to key: inout [UInt8]) {
    key.append(time)
    withUnsafeBytes(of: (UInt64(bitPattern: value) ^ 1 << 63).bigEndian) { key.append(contentsOf: $0) }
  }

  /// Appends a string, by its UTF-8.
  public static func append(string value: UnsafeRawBufferPointer, to key: inout [UInt8]) {
    key.append(string)
    if value.contains(0) {
      for byte in value {
        key.append(byte)
        if byte == 0 { key.append(0xFF) }
      }
    } else {
      key.append(contentsOf: value)
    }
    key.append(0)
    key.append(0)
  }

  // MARK: Reading

  private static func decode(_ key: UnsafeRawBufferPointer, _ at: inout Int) -> ResultValue? {
    let start = at
    guard skip(key, &at) else { return nil }
    switch key[start] {
    case null: return .null
    case no: return .bool(false)
    case yes: return .bool(true)
    case number:
      let ordered = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: start + 1, as: UInt64.self))
      let floor = Double(bitPattern: ordered >> 63 == 1 ? ordered ^ 1 << 63 : ~ordered)
      let excess = UInt16(bigEndian: key.loadUnaligned(fromByteOffset: start + 9, as: UInt16.self))
      if let whole = UInt64(exactly: floor), whole > UInt64(Int64.max) {
        let (value, overflow) = whole.addingReportingOverflow(UInt64(excess))
        return overflow ? nil : .uint(value)
      }
      guard let whole = Int64(exactly: floor) else { return excess == 0 && floor.isFinite ? .double(floor) : nil }
      let (value, overflow) = whole.addingReportingOverflow(Int64(excess))
      return overflow ? nil : .int(value)
    case time:
      let ordered = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: start + 1, as: UInt64.self))
      return .time(Timestamp(nanoseconds: Int64(bitPattern: ordered ^ 1 << 63)))
    default:
      var text: [UInt8] = []
      var index = start + 1
      while index < at - 2 {
        text.append(key[index])
        index += key[index] == 0 ? 2 : 1
      }
      return .string(String(decoding: text, as: UTF8.self))
    }
  }

  private static func skip(_ key: UnsafeRawBufferPointer, _ at: inout Int) -> Bool {
    switch key[at] {
    case null, no, yes: at += 1
    case number: at += 11
    case time: at += 9
    case string:
      at += 1
      while true {
        guard at + 1 < key.count else { return false }
        if key[at] != 0 {
          at += 1
        } else if key[at + 1] == 0 {
          at += 2
          return true
        } else if key[at + 1] == 0xFF {
          at += 2
        } else {
          return false
        }
      }
    default: return false
    }
    return at <= key.count
  }
}
