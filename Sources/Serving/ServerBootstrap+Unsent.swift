import NIOCore
import NIOPosix

#if canImport(Glibc)
  import Glibc
#endif

extension ServerBootstrap {
  /// Bounds the bytes that the system buffers for a peer that reads nothing. Without it that is some megabytes each,
  /// and a third of them must leave before a slow reader is seen to read at all.
  public func withUnsentBytesInSystem(max: Int) -> Self {
    #if os(Linux)
      let option = ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_NOTSENT_LOWAT))
      return childChannelOption(option, value: ChannelOptions.Types.SocketOption.Value(max))
    #else
      return self
    #endif
  }
}
