/// `X-Request-Id`: 1 to 128 visible ASCII characters. The answer, the log and the services asked on the way have it.
public struct RequestID: Sendable, Hashable, CustomStringConvertible {
  public static let header = "X-Request-Id"

  /// The id of the request that the present task answers; calls to other services carry it on.
  @TaskLocal public static var current: RequestID?

  public let description: String

  /// - Parameter given: The sender's id; a new one is made where it is missing or malformed.
  public init(_ given: String?) {
    if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
      description = given
    } else {
      description = String(UInt64.random(in: 1 << 60 ... .max), radix: 16)
    }
  }
}
