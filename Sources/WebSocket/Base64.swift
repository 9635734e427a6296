/// Base64 (RFC 4648, section 4): encoding, and the check that the handshake needs.
public enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  public static func encode(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let count = min(3, bytes.count - start)
      var group = 0
      for at in 0..<3 { group = group << 8 | (at < count ? Int(bytes[start + at]) : 0) }
      for at in 0..<4 {
        text.append(at <= count ? alphabet[group >> (18 - 6 * at) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Whether the text is the encoding of 16 bytes.
  static func isKeyOf16Bytes(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return bytes.count == 24 && bytes[22...] == [UInt8(ascii: "="), UInt8(ascii: "=")]
      && bytes[..<22].allSatisfy { alphabet.contains($0) }
  }
}
