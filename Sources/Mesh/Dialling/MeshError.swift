/// A connection to a peer that was not made, or that the mesh ended.
public struct MeshError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// No certificate or no roots are known yet: the agent has not been reached since the start.
    case notReady = "not_ready"
    /// The peer's address did not answer.
    case unreachable
    /// Connection and TLS handshake, which have one deadline, did not finish in time.
    case timeout
    /// An intention denies it; the peer's certificate does not belong to the mesh, or belongs to another service; or the sidecar
    /// turned us away.
    case refused
    /// The dialler was shut down.
    case closed
  }

  public var code: Code
  public var service: String
  /// The peer's host and port.
  public var address: String
  public var detail: String

  public init(_ code: Code, service: String, address: String, _ detail: String) {
    self.code = code
    self.service = service
    self.address = address
    self.detail = detail
  }

  public var description: String { "\(service) at \(address): \(code.rawValue): \(detail)" }
}
