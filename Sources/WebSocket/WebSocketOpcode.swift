/// The kind of a frame's payload (RFC 6455, section 5.2). The other ten values are reserved and never reach a caller.
public enum WebSocketOpcode: UInt8, Sendable {
  case continuation = 0x0
  case text = 0x1
  case binary = 0x2
  case close = 0x8
  case ping = 0x9
  case pong = 0xA
}

/// Which end of the connection we are: it decides who masks (RFC 6455, section 5.1: the client does, the server never).
public enum WebSocketRole: Sendable {
  case server
  case client
}
