/// RFC 4648 section 4, with padding: the encoding of `data_base64`.
enum Base64Text {
  /// Whether the text is an encoder's result: whole groups of four, padding only at the end of the last, and no unused
  /// bit set.
  static func isWellFormed(_ text: UnsafeRawBufferPointer) -> Bool {
    guard text.count % 4 == 0 else { return false }
    guard let last = text.last else { return true }
    let padding = last != 0x3D ? 0 : text[text.count - 2] == 0x3D ? 2 : 1
    let digits = text.prefix(text.count - padding)
    guard digits.allSatisfy({ value(of: $0) != nil }), let final = digits.last.flatMap({ value(of: $0) }) else { return false }
    // One byte in two digits leaves four bits of the second, two bytes in three leave two of the third.
    return final & (padding == 2 ? 0x0F : padding == 1 ? 0x03 : 0) == 0
  }

  private static func value(of digit: UInt8) -> UInt8? {
    switch digit {
    case 0x41...0x5A: digit - 0x41
    case 0x61...0x7A: digit - 0x61 + 26
    case 0x30...0x39: digit - 0x30 + 52
    case 0x2B: 62
    case 0x2F: 63
    default: nil
    }
  }
}
