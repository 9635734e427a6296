import Foundation

/// The address of the local Consul agent.
enum AgentAddress: Sendable, Hashable {
  case port(ListenAddress)
  /// A Unix socket, which file permissions guard.
  case socket(String)

  /// `127.0.0.1:8500`, or `unix:///run/consul/http.sock`. Nil when it is neither.
  init?(parsing text: String) {
    let scheme = "unix://"
    guard text.hasPrefix(scheme) else {
      guard let address = ListenAddress(parsing: text) else { return nil }
      self = .port(address)
      return
    }
    let path = String(text.dropFirst(scheme.count))
    // The length that a socket's address can hold.
    guard path.hasPrefix("/"), (2...107).contains(path.utf8.count) else { return nil }
    self = .socket(path)
  }
}

/// A user of this machine.
enum LocalUser {
  /// - Parameter text: A name or a number.
  /// - Returns: Nil where there is no such user.
  static func number(of text: String) -> UInt32? {
    if let number = UInt32(text) { return number }
    guard !text.isEmpty, !text.utf8.contains(0) else { return nil }
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16 << 10)
    guard getpwnam_r(text, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
    return entry.pw_uid
  }
}
