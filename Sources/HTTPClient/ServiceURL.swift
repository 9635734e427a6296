/// The address of a service: `https://query.example:8443/base`, `ws://127.0.0.1:4000/v1/stream`, `http://[::1]:8080`.
public struct ServiceURL: Sendable, Hashable, CustomStringConvertible {
  /// `http`, `https`, `ws` or `wss`
  public var scheme: String
  /// The host without brackets.
  public var host: String
  /// 1...65,535
  public var port: Int
  /// Path and query for the request line; empty where there is none.
  public var target: String

  /// Whether the service speaks TLS.
  public var isSecure: Bool { scheme == "https" || scheme == "wss" }

  /// `host:port`, for the `Host` header and messages.
  public var authority: String { ServiceURL.authority(of: host, port) }

  /// `host:port`, with an IPv6 address in brackets.
  public static func authority(of host: String, _ port: Int) -> String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  public var description: String { "\(scheme)://\(authority)\(target)" }

  /// Nil unless the text is a URL of one of the schemes; user names and fragments are refused.
  public init?(_ text: String, schemes: Set<String> = ["http", "https", "ws", "wss"]) {
    guard let separator = text.firstRange(of: "://") else { return nil }
    scheme = text[..<separator.lowerBound].lowercased()
    guard schemes.contains(scheme) else { return nil }
    let rest = text[separator.upperBound...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    var authority = rest[..<end]
    target = String(rest[end...])
    guard !rest.contains("#"), !authority.contains("@"), !text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
      return nil
    }
    if target.first == "?" { target = "/" + target }

    port = scheme == "https" || scheme == "wss" ? 443 : 80
    if let colon = authority.lastIndex(of: ":"), authority.last != "]" {
      let digits = authority[authority.index(after: colon)...]
      guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(digits), (1...65_535).contains(number) else {
        return nil
      }
      port = number
      authority = authority[..<colon]
    }
    if authority.first == "[", authority.last == "]" {
      authority = authority.dropFirst().dropLast()
    } else if authority.contains(":") {
      return nil
    }
    guard !authority.isEmpty else { return nil }
    host = String(authority)
  }
}
