/// RFC 4648 section 5, without padding: the encoding of cursors and tokens.
public enum Base64URL {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  public static func encode(_ bytes: [UInt8]) -> String {
    var output: [UInt8] = []
    output.reserveCapacity((bytes.count * 4 + 2) / 3)
    var index = 0
    while index < bytes.count {
      let taken = min(3, bytes.count - index)
      var group: UInt32 = 0
      for offset in 0..<3 { group = group << 8 | (offset < taken ? UInt32(bytes[index + offset]) : 0) }
      for digit in 0...taken { output.append(alphabet[Int(group >> UInt32(18 - 6 * digit) & 63)]) }
      index += 3
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// - Returns: Nil when `encode` cannot have given the text.
  public static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var output: [UInt8] = []
    var group: UInt32 = 0
    var bits = 0
    for byte in text.utf8 {
      let digit: UInt8
      switch byte {
      case 0x41...0x5A: digit = byte - 0x41
      case 0x61...0x7A: digit = byte - 0x61 + 26
      case 0x30...0x39: digit = byte - 0x30 + 52
      case 0x2D: digit = 62
      case 0x5F: digit = 63
      default: return nil
      }
      group = group << 6 | UInt32(digit)
      bits += 6
      if bits >= 8 {
        bits -= 8
        output.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
        group &= (1 << UInt32(bits)) - 1
      }
    }
    return bits < 6 && group == 0 ? output : nil
  }
}
