/// Percent-encoding, RFC 3986: the only way in which text is read from targets and headers.
public enum PercentText {
  /// - Parameters:
  ///   - text: The text as it came. NIO has put U+FFFD in place of bytes that were not UTF-8, which does not
  ///     distinguish them: so U+FFFD is accepted only percent-encoded.
  ///   - plusIsSpace: Whether a plus is a space, as in `application/x-www-form-urlencoded` queries.
  /// - Returns: Nil when a `%` has no two hexadecimal digits after it, or the bytes are not UTF-8.
  public static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
    decode(text.utf8, plusIsSpace: plusIsSpace)
  }

  public static func decode(_ text: some Collection<UInt8>, plusIsSpace: Bool = false) -> String? {
    guard !holdsReplacement(text) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
      let byte = text[index]
      text.formIndex(after: &index)
      switch byte {
      case 0x25:
        guard index < text.endIndex, let high = digit(text[index]) else { return nil }
        text.formIndex(after: &index)
        guard index < text.endIndex, let low = digit(text[index]) else { return nil }
        text.formIndex(after: &index)
        bytes.append(high << 4 | low)
      case 0x2B where plusIsSpace: bytes.append(0x20)
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Encodes all but RFC 3986's unreserved characters.
  public static func encode(_ text: String) -> String { encode(text.utf8) }

  public static func encode(_ text: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
      default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Whether the text has U+FFFD, which stands for bytes that were not UTF-8.
  public static func holdsReplacement(_ text: some Collection<UInt8>) -> Bool {
    var last: (UInt8, UInt8) = (0, 0)
    for byte in text {
      if byte == 0xBD, last == (0xEF, 0xBF) { return true }
      last = (last.1, byte)
    }
    return false
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}
