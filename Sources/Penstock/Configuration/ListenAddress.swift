import HTTPClient

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The address at which a service accepts connections: `127.0.0.1:4000`, `localhost:0`, `[::1]:8080`. Port 0 takes a free one.
struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
  /// The host without brackets.
  let host: String
  /// 0...65,535
  let port: Int

  init(host: String, port: Int) {
    precondition((0...65_535).contains(port), "a port is 0 to 65535")
    self.host = host
    self.port = port
  }

  /// Nil unless `text` is a host and a port; a host of several colons needs brackets.
  init?(parsing text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port), text[text.index(after: colon)...].allSatisfy(\.isNumber)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
      guard Self.bytes(ofIPv6: String(host)) != nil else { return nil }
    } else if host.contains(where: { $0 == ":" || $0 == "[" || $0 == "]" }) {
      return nil
    }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else { return nil }
    self.init(host: String(host), port: port)
  }

  var description: String { ServiceURL.authority(of: host, port) }

  /// Whether nobody beyond this machine can connect: 127.0.0.0/8, `::1`, or the name `localhost`. Other names are not
  /// looked up: their address can change after the check.
  var isLoopback: Bool {
    if host.lowercased() == "localhost" { return true }
    if let bytes = Self.bytes(ofIPv4: host) { return bytes[0] == 127 }
    guard let bytes = Self.bytes(ofIPv6: host) else { return false }
    let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    if Array(bytes[..<12]) == mappedPrefix { return bytes[12] == 127 }
    return bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
  }

  private static func bytes(ofIPv4 host: String) -> [UInt8]? {
    var address = in_addr()
    guard inet_pton(AF_INET, host, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
  }

  private static func bytes(ofIPv6 host: String) -> [UInt8]? {
    var address = in6_addr()
    guard inet_pton(AF_INET6, host, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
  }
}
