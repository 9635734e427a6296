#if os(Linux)
  import Glibc
  import Serving
  import NIOCore
  import Sockets

  extension StreamSocket {
    /// Whether the other end is a process of this machine.
    var isFromThisMachine: Bool { SocketAddress.areOfOneMachine(address(getpeername), address(getsockname)) }

    private func address(
      _ ask: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let status = withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &length) }
      }
      guard status == 0 else { return nil }
      return withUnsafePointer(to: &storage) { pointer in
        switch Int32(pointer.pointee.ss_family) {
        case AF_INET: pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { SocketAddress($0.pointee) }
        case AF_INET6: pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { SocketAddress($0.pointee) }
        default: nil
        }
      }
    }
  }
#endif
