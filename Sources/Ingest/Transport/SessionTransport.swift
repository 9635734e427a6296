/// Carries a session's bytes. Called on the session's loop.
protocol SessionTransport: AnyObject {
  /// The session has bytes to send, reads again, or closes: read its `outgoing`, `mayRead` and `isClosing`.
  ///
  /// Not called during the transport's own calls into the session: it checks after each.
  func sessionChanged()

  /// Sent bytes that the peer has not taken, as far as this side knows beyond the system's own buffers.
  var unsentBytes: Int { get }

  /// Whether the other end is a process of this machine.
  var isFromThisMachine: Bool { get }
}
