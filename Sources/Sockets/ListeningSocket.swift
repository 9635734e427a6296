#if os(Linux)
  import CEpoll
  import Glibc

  /// A non-blocking TCP socket that accepts connections. Its holder closes it, once.
  public struct ListeningSocket: Sendable {
    public let descriptor: Int32

    public enum Accepted: Sendable {
      case connection(StreamSocket)
      case none
      /// Mostly a lack of descriptors or memory: try again a little later.
      case failed(errno: Int32)
    }

    /// Binds and listens.
    /// - Parameters:
    ///   - address: An IPv4 or IPv6 address; port 0 takes a free one.
    ///   - length: Bytes of the address.
    ///   - backlog: Connections that may wait to be accepted.
    public static func open(_ address: UnsafePointer<sockaddr>, length: socklen_t, backlog: Int32 = 4096) throws(SocketError)
      -> ListeningSocket
    {
      let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
      let descriptor = socket(Int32(address.pointee.sa_family), kind, 0)
      guard descriptor >= 0 else { throw SocketError("socket", errno: errno) }
      var on: Int32 = 1
      guard setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
        throw abandoned(descriptor, "setsockopt")
      }
      guard bind(descriptor, address, length) == 0 else { throw abandoned(descriptor, "bind") }
      guard listen(descriptor, backlog) == 0 else { throw abandoned(descriptor, "listen") }
      return ListeningSocket(descriptor: descriptor)
    }

    private static func abandoned(_ descriptor: Int32, _ call: String) -> SocketError {
      let error = SocketError(call, errno: errno)
      _ = Glibc.close(descriptor)
      return error
    }

    /// The address listened on, with the port that was taken.
    public func localAddress() throws(SocketError) -> sockaddr_storage {
      var address = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let status = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
      }
      guard status == 0 else { throw SocketError("getsockname", errno: errno) }
      return address
    }

    public func accept() -> Accepted {
      while true {
        let descriptor = cepoll_accept(descriptor)
        if descriptor >= 0 { return .connection(StreamSocket(descriptor: descriptor)) }
        switch errno {
        case EAGAIN: return .none
        // These errors belong to a connection that is gone already (accept(2), "Error handling"): on to the next.
        case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
          break
        default: return .failed(errno: errno)
        }
      }
    }

    public func close() { _ = Glibc.close(descriptor) }
  }
#endif
