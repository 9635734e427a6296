/// The grammar of `Sec-WebSocket-Extensions` (RFC 6455, section 9.1): `name; parameter; parameter=value, name …`.
enum ExtensionList {
  struct Item: Equatable {
    var name: String
    var parameters: [Parameter] = []
  }

  struct Parameter: Equatable {
    var name: String
    /// The value without quotes; nil if the parameter has none.
    var value: String?
  }

  /// - Parameter fields: The values of the header's fields, in order.
  /// - Returns: Nil if any of it is outside the grammar. Empty list elements are skipped (RFC 9110, section 5.6.1).
  static func parse(_ fields: [String]) -> [Item]? {
    var items: [Item] = []
    for field in fields {
      var reader = Reader(bytes: Array(field.utf8))
      while true {
        reader.skipSpace()
        if reader.isAtEnd { break }
        if reader.take(UInt8(ascii: ",")) { continue }
        guard let name = reader.token() else { return nil }
        var item = Item(name: name.lowercased())
        reader.skipSpace()
        while reader.take(UInt8(ascii: ";")) {
          reader.skipSpace()
          guard let name = reader.token() else { return nil }
          var parameter = Parameter(name: name.lowercased())
          reader.skipSpace()
          if reader.take(UInt8(ascii: "=")) {
            reader.skipSpace()
            guard let value = reader.value() else { return nil }
            parameter.value = value
            reader.skipSpace()
          }
          item.parameters.append(parameter)
        }
        guard reader.isAtEnd || reader.take(UInt8(ascii: ",")) else { return nil }
        items.append(item)
      }
    }
    return items
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    var isAtEnd: Bool { at == bytes.count }

    mutating func skipSpace() {
      while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
    }

    mutating func take(_ byte: UInt8) -> Bool {
      guard at < bytes.count, bytes[at] == byte else { return false }
      at += 1
      return true
    }

    mutating func token() -> String? {
      let start = at
      while at < bytes.count, Self.isTokenByte(bytes[at]) { at += 1 }
      return at > start ? String(decoding: bytes[start..<at], as: UTF8.self) : nil
    }

    /// A token, or a quoted string that is one when unquoted.
    mutating func value() -> String? {
      guard take(UInt8(ascii: "\"")) else { return token() }
      var value: [UInt8] = []
      while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
        if bytes[at] == UInt8(ascii: "\\") { at += 1 }
        guard at < bytes.count, Self.isTokenByte(bytes[at]) else { return nil }
        value.append(bytes[at])
        at += 1
      }
      guard take(UInt8(ascii: "\"")), !value.isEmpty else { return nil }
      return String(decoding: value, as: UTF8.self)
    }

    /// RFC 9110, section 5.6.2.
    static func isTokenByte(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
        true
      default:
        "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
  }
}
