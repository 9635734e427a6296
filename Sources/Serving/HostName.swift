#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A host and perhaps a port, as in `Host` and the authority of a URL (RFC 3986, section 3.2): `localhost`, `[::1]:8080`.
struct Authority: Hashable, Sendable {
  var host: HostName
  /// Nil where none is named.
  var port: Int?

  /// Nil for a malformed text; user names are not accepted.
  init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    var hostEnd = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
    if bytes.first == UInt8(ascii: "[") {
      guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      hostEnd = end + 1
    }
    guard let host = HostName(bytes[..<hostEnd]) else { return nil }
    self.host = host
    guard hostEnd < bytes.count else { return }
    guard bytes[hostEnd] == UInt8(ascii: ":") else { return nil }
    let digits = bytes[(hostEnd + 1)...]
    // RFC 3986 lets the port be empty.
    guard !digits.isEmpty else { return }
    guard digits.count <= 5, digits.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = Int(String(decoding: digits, as: UTF8.self)), port <= 65_535
    else { return nil }
    self.port = port
  }
}

/// A host by name or by address; equal however it is written.
struct HostName: Hashable, Sendable {
  private enum Form: Hashable, Sendable {
    /// In lower case, without a dot at its end.
    case name([UInt8])
    case v4([UInt8])
    case v6([UInt8])
  }

  private let form: Form

  /// - Parameter bytes: An IPv6 address in brackets.
  init?(_ bytes: some Collection<UInt8>) {
    guard (1...255).contains(bytes.count) else { return nil }
    if bytes.first == UInt8(ascii: "[") {
      guard let address = HostName.v6(String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)) else { return nil }
      self.init(v6: address)
      return
    }
    if let address = HostName.v4(String(decoding: bytes, as: UTF8.self)) {
      self.init(.v4(address))
      return
    }
    var name = bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    if name.last == UInt8(ascii: ".") { name.removeLast() }
    guard !name.isEmpty, name.allSatisfy(HostName.isNameByte) else { return nil }
    self.init(.name(name))
  }

  /// A host as settings name it: an IPv6 address with or without brackets.
  init?(setting text: String) {
    if let address = HostName.v6(text) { self.init(v6: address) } else { self.init(text.utf8) }
  }

  private init(v6: [UInt8]) {
    let isMapped = v6[..<10].allSatisfy { $0 == 0 } && v6[10] == 0xFF && v6[11] == 0xFF
    self.init(isMapped ? .v4(Array(v6[12...])) : .v6(v6))
  }

  private init(_ form: Form) { self.form = form }

  var isAddress: Bool { if case .name = form { false } else { true } }

  var isLoopback: Bool {
    switch form {
    case .name(let name): name.elementsEqual("localhost".utf8)
    case .v4(let bytes): bytes[0] == 127
    case .v6(let bytes): bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }
  }

  /// `0.0.0.0` or `::`: every address of the machine.
  var isEveryAddress: Bool {
    switch form {
    case .name: false
    case .v4(let bytes), .v6(let bytes): bytes.allSatisfy { $0 == 0 }
    }
  }

  /// A name without a dot, which no public name server answers for.
  var isSingleLabel: Bool {
    if case .name(let name) = form { !name.contains(UInt8(ascii: ".")) } else { false }
  }

  /// RFC 3986's reg-name, less characters that no host has.
  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
    default: false
    }
  }

  private static func v4(_ text: String) -> [UInt8]? {
    var address = in_addr()
    guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
  }

  private static func v6(_ text: String) -> [UInt8]? {
    var address = in6_addr()
    guard inet_pton(AF_INET6, text, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
  }
}
