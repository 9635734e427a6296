/// The origin of a page, as browsers send it in `Origin` (RFC 6454): scheme, host and port.
public struct WebOrigin: Hashable, Sendable {
  private let isSecure: Bool
  private let host: HostName
  private let port: Int

  /// - Parameter text: `https://app.example.org` or `http://localhost:3000`. Nil for all other texts, `null` included.
  public init?(_ text: some StringProtocol) {
    let lowercased = text.lowercased()
    for (scheme, isSecure, port) in [("http://", false, 80), ("https://", true, 443)] where lowercased.hasPrefix(scheme) {
      guard let authority = Authority(lowercased.dropFirst(scheme.count)) else { return nil }
      self.isSecure = isSecure
      host = authority.host
      self.port = authority.port ?? port
      return
    }
    return nil
  }

  /// Whether a page from here belongs to the server that is asked as `authority`. The scheme is the page's: a proxy may have
  /// taken TLS off.
  func isOf(_ authority: Authority) -> Bool {
    host == authority.host && port == authority.port ?? (isSecure ? 443 : 80)
  }
}
