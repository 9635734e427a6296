/// What carries a session's bytes. Called on the session's loop.
protocol SessionTransport: AnyObject {
  /// The session has something to send, reads again, or closes: look at its `outgoing`, `mayRead` and `isClosing`.
  ///
  /// Not called for what comes of the transport's own calls into the session: it looks after each.
  func sessionChanged()
}
