/// What carries a session's bytes. Called on the session's loop.
protocol SessionTransport: AnyObject {
  /// The session has something to send, reads again, or closes: look at its `outgoing`, `mayRead` and `isClosing`.
  ///
  /// Not called for what comes of the transport's own calls into the session: it looks after each.
  func sessionChanged()

  /// Bytes that the peer has not taken of what it was sent, as far as this side of the system's own buffers knows.
  var unsentBytes: Int { get }

  /// Whether the other end is a process of this machine.
  var isFromThisMachine: Bool { get }
}
