/// Why a connection to a peer was not made, or was ended by the mesh.
public struct MeshError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// No certificate or no roots are known yet: the agent has not been reached since the start.
    case notReady = "not_ready"
    /// No answer at the peer's address.
    case unreachable
    /// Not in time: connection and TLS handshake have one deadline.
    case timeout
    /// An intention denies it; the peer's certificate is not of the mesh, or of another service; or the sidecar turned us away.
    case refused
    /// The dialler was shut down.
    case closed
  }

  public var code: Code
  public var service: String
  /// Host and port.
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
