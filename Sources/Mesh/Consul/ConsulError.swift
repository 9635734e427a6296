/// A request to Consul's agent that failed.
public struct ConsulError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// The agent could not be connected to, or went away before its answer was complete.
    case unreachable
    case timeout
    /// The token, or the want of one, does not permit the request.
    case forbidden
    /// Consul does not have the named thing.
    case missing
    /// Any other failure: servers without a leader, a malformed request.
    case failed
    /// The answer does not have the form that this version of Consul gives.
    case malformed
    case cancelled
  }

  public var code: Code
  /// The request's method and path.
  public var request: String
  public var detail: String

  public init(_ code: Code, request: String, _ detail: String) {
    self.code = code
    self.request = request
    self.detail = detail
  }

  public var description: String { "Consul: \(request): \(code.rawValue): \(detail)" }
}
