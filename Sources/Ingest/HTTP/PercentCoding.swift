/// Percent-encoded text (RFC 3986, section 2.1); what is no encoding stays as it is.
enum PercentCoding {
  /// - Parameter plusIsSpace: As in `application/x-www-form-urlencoded` queries.
  static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String {
    let bytes = Array(text.utf8)
    var output: [UInt8] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == 0x25, at + 2 < bytes.count,
        let byte = UInt8(String(decoding: bytes[at + 1...at + 2], as: UTF8.self), radix: 16)
      {
        output.append(byte)
        at += 3
      } else {
        output.append(plusIsSpace && bytes[at] == 0x2B ? 0x20 : bytes[at])
        at += 1
      }
    }
    return String(decoding: output, as: UTF8.self)
  }
}
