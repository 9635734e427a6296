#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A failed system call on a socket.
package struct SocketError: Error, Equatable, Sendable, CustomStringConvertible {
  /// `bind`, `epoll_ctl`, …
  package let call: String
  package let errno: Int32

  package init(_ call: String, errno: Int32) {
    self.call = call
    self.errno = errno
  }

  package var description: String { "\(call): \(String(cString: strerror(errno)))" }
}
