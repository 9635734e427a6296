/// `X-Request-Id`: 1 to 128 visible ASCII characters. The answer and the log have it, and the services asked on the way.
public struct RequestID: Sendable, Hashable, CustomStringConvertible {
  public static let header = "X-Request-Id"

  /// Of the request that the present task answers; calls to other services carry it on.
  @TaskLocal public static var current: RequestID?

  public let description: String

  /// - Parameter given: The sender's own; one is made where there is none, or none that is well-formed.
  public init(_ given: String?) {
    if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
      description = given
    } else {
      description = String(UInt64.random(in: 1 << 60 ... .max), radix: 16)
    }
  }
}
