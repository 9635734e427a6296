/// The state of a client's connection, or between two.
enum DeviceSessionState {
  case idle
  case connecting
  /// Waits for the next try.
  case waiting
  /// The handshake is done, the welcome has not come.
  case welcoming
  case open
  /// All is acknowledged, and our close frame is sent.
  case closing
  case ended
}
