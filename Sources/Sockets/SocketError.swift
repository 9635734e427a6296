#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A failed system call on a socket.
public struct SocketError: Error, Equatable, Sendable, CustomStringConvertible {
  /// `bind`, `epoll_ctl`, …
  public let call: String
  public let errno: Int32

  public init(_ call: String, errno: Int32) {
    self.call = call
    self.errno = errno
  }

  public var description: String { "\(call): \(String(cString: strerror(errno)))" }
}
