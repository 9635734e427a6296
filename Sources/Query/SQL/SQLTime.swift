import Events

/// Compares times in SQL as instants, however they are written. Other text compares by its bytes.
///
/// A time is RFC 3339, or a form that SQLite's own functions take and give: a space for the `T`, no seconds, no offset
/// (which is UTC), a date alone; also a month or a year alone. Missing parts stand for the first instant of the rest.
enum SQLTime {
  /// For expressions: `max(window_start) >= '2013-07-01 12:00:00' COLLATE time`.
  static let collation = "time"
  private static let bytesMax = 64

  static func nanoseconds(_ text: String) -> Int64? {
    var text = text
    return text.withUTF8 { nanoseconds(UnsafeRawBufferPointer($0)) }
  }

  static func nanoseconds(_ bytes: UnsafeRawBufferPointer) -> Int64? {
    guard bytes.count >= 4, bytes.count <= bytesMax, isDigit(bytes[0]), bytes.count == 4 || bytes[4] == 0x2D else { return nil }
    if bytes.count >= 20, let time = Timestamp.parse(bytes) { return time.nanoseconds }
    return withUnsafeTemporaryAllocation(byteCount: bytesMax + 20, alignment: 1) { buffer in
      guard let count = complete(bytes, in: buffer) else { return nil }
      return Timestamp.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]))?.nanoseconds
    }
  }

  /// Writes the missing parts.
  /// - Returns: Bytes written; nil for a text that is cut off within a part.
  private static func complete(_ bytes: UnsafeRawBufferPointer, in buffer: UnsafeMutableRawBufferPointer) -> Int? {
    var count = 0
    func append(_ more: some Sequence<UInt8>) {
      for byte in more {
        buffer[count] = byte
        count += 1
      }
    }
    // In SQLite's form, blanks may precede the offset.
    var end = bytes.count
    var offset = Array("Z".utf8)
    if end > 10, bytes[end - 1] | 0x20 == 0x7A {
      end -= 1
    } else if end > 16, bytes[end - 3] == 0x3A, bytes[end - 6] == 0x2B || bytes[end - 6] == 0x2D {
      offset = Array(bytes[(end - 6)..<end])
      end -= 6
    }
    while end > 10, bytes[end - 1] == 0x20 { end -= 1 }
    let given = bytes[..<end]
    switch end {
    case 4: append(given); append("-01-01T00:00:00".utf8)
    case 7: append(given); append("-01T00:00:00".utf8)
    case 10: append(given); append("T00:00:00".utf8)
    case 16: append(given); append(":00".utf8)
    case 19...: append(given)
    default: return nil
    }
    append(offset)
    return count
  }

  static func order(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int32 {
    if isWholeSecond(a), isWholeSecond(b) { return byteOrder(a, b) }
    if let x = nanoseconds(a), let y = nanoseconds(b) { return x < y ? -1 : x > y ? 1 : 0 }
    return byteOrder(a, b)
  }

  /// The form of most of views' times: `2013-01-01T00:00:00Z`, with digits where it has digits.
  private static func isWholeSecond(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count == 20, bytes[10] == 0x54, bytes[19] == 0x5A, bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[13] == 0x3A,
      bytes[16] == 0x3A, bytes[17] < 0x36
    else { return false }
    return true
  }

  /// Whether the text orders by its bytes as by its instant, beside others of which that is true.
  static func isCanonical(_ text: String) -> Bool {
    guard let time = nanoseconds(text) else { return false }
    return text.utf8.count == 20 && Timestamp(nanoseconds: time).description.utf8.elementsEqual(text.utf8)
  }

  private static func byteOrder(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int32 {
    for (x, y) in zip(a, b) where x != y { return x < y ? -1 : 1 }
    return a.count == b.count ? 0 : a.count < b.count ? -1 : 1
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
