import Dispatch
import NIOCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Finds the user of the other end of a loopback connection: Linux lists every TCP socket in /proc/net/tcp.
enum SocketOwner {
  /// The bytes read at most: some 400,000 sockets. A socket that is not among them has no user.
  private static let tableBytesMax = 64 << 20
  private static let queue = DispatchQueue(label: "penstock.wire.owners")

  /// The user of the socket that is bound to `remote` and connected to `local`; nil when there is none, or no process holds it
  /// any more.
  static func user(of remote: SocketAddress, connectedTo local: SocketAddress) async -> UInt32? {
    await withCheckedContinuation { continuation in
      // The kernel makes the table, which may be long: it must not be read on an event loop or one of Swift's few threads.
      queue.async { continuation.resume(returning: look(for: remote, local)) }
    }
  }

  private static func look(for remote: SocketAddress, _ local: SocketAddress) -> UInt32? {
    for (table, ends) in places(remote, local) {
      if let user = contents(of: table).flatMap({ find(ends, in: $0) }) { return user }
    }
    return nil
  }

  /// The tables that may have it, with the two ends in each table's form.
  private static func places(_ remote: SocketAddress, _ local: SocketAddress) -> [(table: String, ends: String)] {
    switch (remote, local) {
    case (.v4(let remote), .v4(let local)):
      let (remote, local) = (remote.address, local.address)
      func text(_ address: sockaddr_in, mapped: Bool) -> String {
        (mapped ? "0000000000000000" + word([0, 0, 0xFF, 0xFF]) : "") + word(bytes(of: address.sin_addr)) + ":"
          + port(address.sin_port)
      }
      return [
        ("/proc/net/tcp", text(remote, mapped: false) + " " + text(local, mapped: false)),
        // An IPv6 socket that speaks IPv4.
        ("/proc/net/tcp6", text(remote, mapped: true) + " " + text(local, mapped: true)),
      ]
    case (.v6(let remote), .v6(let local)):
      let (remote, local) = (remote.address, local.address)
      func text(_ address: sockaddr_in6) -> String {
        let all = bytes(of: address.sin6_addr)
        return stride(from: 0, to: 16, by: 4).map { word(Array(all[$0..<$0 + 4])) }.joined() + ":" + port(address.sin6_port)
      }
      return [("/proc/net/tcp6", text(remote) + " " + text(local))]
    default: return []
    }
  }

  private static func bytes<Address>(of address: Address) -> [UInt8] { withUnsafeBytes(of: address) { Array($0) } }

  /// Four bytes of an address as the kernel prints them: as a number in the machine's byte order.
  private static func word(_ bytes: [UInt8]) -> String {
    let value = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
    let digits = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  private static func port(_ port: in_port_t) -> String {
    let digits = String(UInt16(bigEndian: port), radix: 16, uppercase: true)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }

  /// - Parameter ends: `0100007F:C350 0100007F:1F40`, the caller's end first.
  /// - Returns: The `uid` of the line that has them and an inode: without one, no process holds the socket.
  static func find(_ ends: String, in table: [UInt8]) -> UInt32? {
    let wanted = Array(ends.utf8)
    for line in table.split(separator: 0x0A) {
      // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
      guard let colon = line.firstIndex(of: 0x3A), line[(colon + 1)...].dropFirst().starts(with: wanted) else { continue }
      let fields = line.split(separator: 0x20)
      guard fields.count > 9, let user = UInt32(String(decoding: fields[7], as: UTF8.self)),
        fields[9].contains(where: { $0 != 0x30 })
      else { continue }
      return user
    }
    return nil
  }

  private static func contents(of path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 256 << 10)
    while text.count < tableBytesMax {
      let count = part.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { break }
      text.append(contentsOf: part[..<count])
    }
    return text
  }
}

/// The users of this machine whose requests a service answers: its sidecar's user, and so the callers that the mesh lets through.
/// The service has no other way to know who calls.
///
/// Probes and metrics are open to everybody: the agent, which is another user, asks for `/readyz`.
public struct LocalCallers: Sendable {
  private let users: Set<UInt32>

  /// - Parameter users: Users besides the process's own and root.
  public init(users: Set<UInt32>) { self.users = users.union([0, geteuid()]) }

  init(exactly users: Set<UInt32>) { self.users = users }

  func admits(_ user: UInt32?) -> Bool { user.map { users.contains($0) } ?? false }
}
