/// The reason why a client gave up. Dropped connections and busy servers are not errors: the client tries again.
public struct DeviceClientError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The server could not be reached, or did not answer, for as long as the configuration allows.
    case unreachable
    /// The server refused the handshake in a way that another try does not change.
    case refused
    /// The server closed the connection for something the client did: the close code is in the detail.
    case closed
    /// The server sent something that is not in the protocol.
    case protocolViolation = "protocol_violation"
    case cancelled
    /// The spool's file cannot be used: in use, no spool, or its disk is full.
    case spool
    /// The input could not be read.
    case input
  }

  public var code: Code
  /// The detail for people: what, where, and what to do.
  public var detail: String

  public init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }

  public var description: String { detail }
}
