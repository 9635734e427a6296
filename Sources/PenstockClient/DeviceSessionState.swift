/// Where a client is between its connections.
enum DeviceSessionState {
  case idle
  case connecting
  /// Until the next try.
  case waiting
  /// The handshake is done, the welcome not there.
  case welcoming
  case open
  /// All is acknowledged, and our close frame on its way.
  case closing
  case ended
}
