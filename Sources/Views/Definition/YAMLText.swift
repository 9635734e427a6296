/// Strings in the form of a file of views, whatever their content: in double quotes, with escapes that YAML and JSON both read.
enum YAMLText {
  /// The string with its quotes. Read as YAML, or as JSON, it is the same string again.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default: append(scalar, to: &result)
      }
    }
    return result + "\""
  }

  /// JSON with escapes for characters that YAML does not take literally, or reads as a line's end: the same JSON, and YAML that
  /// reads as it.
  static func escaping(json: String) -> String {
    var result = ""
    for scalar in json.unicodeScalars { append(scalar, to: &result) }
    return result
  }

  private static func append(_ scalar: Unicode.Scalar, to text: inout String) {
    guard isEscaped(scalar) else { return text.unicodeScalars.append(scalar) }
    let digits = String(scalar.value, radix: 16)
    text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
  }

  /// Control characters, YAML's line ends, the byte order mark, and the two below U+10000 that are no characters.
  /// Source: YAML 1.2.2, 5.1 and 5.4; 1.1 for U+0085, U+2028 and U+2029, as in libyaml.
  private static func isEscaped(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF: true
    default: false
    }
  }
}
