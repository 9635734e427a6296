/// Why Consul's agent gave no answer, or not the one wanted.
public struct ConsulError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// The agent could not be connected to, or went away before its answer had come whole.
    case unreachable
    case timeout
    /// The token, or the want of one, does not permit the request.
    case forbidden
    /// What was named is not there.
    case missing
    /// Any other answer than success: servers without a leader, a malformed request.
    case failed
    /// The answer is not what this version of Consul should give.
    case malformed
    case cancelled
  }

  public var code: Code
  /// Method and path.
  public var request: String
  public var detail: String

  public init(_ code: Code, request: String, _ detail: String) {
    self.code = code
    self.request = request
    self.detail = detail
  }

  public var description: String { "Consul: \(request): \(code.rawValue): \(detail)" }
}
