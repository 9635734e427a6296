import NIOCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The unit by which connections are counted: an IPv4 address, or an IPv6 network of 64 bits, which one household or
/// machine has to itself.
public struct PeerAddress: Hashable, Sendable {
  private let network: UInt64
  private let isIPv4: Bool

  /// Nil for a peer without an address, such as a Unix socket.
  public init?(_ address: SocketAddress?) {
    switch address {
    case .v4(let address)?:
      network = UInt64(UInt32(bigEndian: address.address.sin_addr.s_addr))
      isIPv4 = true
    case .v6(let address)?:
      let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
      isIPv4 = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
      network = (isIPv4 ? bytes[12...] : bytes[..<8]).reduce(0) { $0 << 8 | UInt64($1) }
    case .unixDomainSocket?, nil: return nil
    }
  }
}
