import NIOCore
import NIOPosix

#if canImport(Glibc)
  import Glibc
#endif

extension ServerBootstrap {
  /// Holds back what the system would take for peers that take nothing themselves: some megabytes of each, and a third of that has to go
  /// before one that reads slowly is seen to read at all.
  public func withUnsentBytesInSystem(max: Int) -> Self {
    #if os(Linux)
      let option = ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_NOTSENT_LOWAT))
      return childChannelOption(option, value: ChannelOptions.Types.SocketOption.Value(max))
    #else
      return self
    #endif
  }
}
