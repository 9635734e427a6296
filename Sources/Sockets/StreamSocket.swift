#if os(Linux)
  import Glibc

  /// A connected stream socket that does not block. Its holder closes it, once.
  public struct StreamSocket: Sendable, Equatable {
    public let descriptor: Int32

    /// The result of a read or a write.
    public enum Transfer: Equatable, Sendable {
      /// At least one.
      case bytes(Int)
      case wouldBlock
      /// The peer sends no more. A write never returns it.
      case ended
      case failed(errno: Int32)
    }

    public init(descriptor: Int32) { self.descriptor = descriptor }

    /// Sends written bytes at once, instead of waiting for more.
    public func setNoDelay() {
      var on: Int32 = 1
      // Not a TCP socket, or gone already: nothing to be done in either case.
      _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The address of the other side; nil where it has left already.
    public func peerAddress() -> sockaddr_storage? {
      var address = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let status = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
      }
      return status == 0 ? address : nil
    }

    /// - Parameter buffer: Not empty.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer { receive(buffer, 0) }

    /// Reads bytes and leaves them there: the next read or peek begins with the same.
    public func peek(into buffer: UnsafeMutableRawBufferPointer) -> Transfer { receive(buffer, Int32(MSG_PEEK)) }

    private func receive(_ buffer: UnsafeMutableRawBufferPointer, _ flags: Int32) -> Transfer {
      while true {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .ended }
        if errno != EINTR { return failure() }
      }
    }

    /// - Parameter bytes: Not empty.
    /// - Returns: `.bytes` may be fewer than given.
    public func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
      while true {
        let count = send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if count >= 0 { return .bytes(count) }
        if errno != EINTR { return failure() }
      }
    }

    private func failure() -> Transfer {
      errno == EAGAIN || errno == EWOULDBLOCK ? .wouldBlock : .failed(errno: errno)
    }

    /// Ends our side of the connection; the peer's bytes can still be read.
    public func shutDownOutput() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    public func close() { _ = Glibc.close(descriptor) }
  }
#endif
