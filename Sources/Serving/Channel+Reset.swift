import NIOCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

extension Channel {
  /// Closes a connection whose peer reads nothing, and drops the bytes that the system would go on trying to send; from
  /// any thread. An ordinary close keeps some megabytes for as long as the peer's system answers.
  public func reset() {
    guard let socket = self as? any SocketOptionProvider else { return close(promise: nil) }
    socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in self.close(promise: nil) }
  }
}
