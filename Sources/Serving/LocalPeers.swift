import NIOCore

extension Channel {
  /// Whether the other end is a process of this machine, as a sidecar is.
  public var isFromThisMachine: Bool { SocketAddress.areOfOneMachine(remoteAddress, localAddress) }
}

extension SocketAddress {
  /// Whether a connection's ends are on the same machine: by loopback, or from an address to itself.
  public static func areOfOneMachine(_ remote: SocketAddress?, _ local: SocketAddress?) -> Bool {
    switch remote {
    case .unixDomainSocket: return true
    case .v4, .v6:
      guard let address = remote?.ipAddress else { return false }
      if address == "::1" || address.hasPrefix("127.") || address.hasPrefix("::ffff:127.") { return true }
      return address == local?.ipAddress
    case nil: return false
    }
  }
}
