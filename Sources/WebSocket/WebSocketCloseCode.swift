/// The number in a close frame (RFC 6455, section 7.4, and IANA's WebSocket Close Code Number Registry).
public struct WebSocketCloseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt16

  public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static let normal = Self(rawValue: 1000)
  public static let goingAway = Self(rawValue: 1001)
  public static let protocolError = Self(rawValue: 1002)
  public static let unsupportedData = Self(rawValue: 1003)
  public static let invalidPayload = Self(rawValue: 1007)
  public static let policyViolation = Self(rawValue: 1008)
  public static let messageTooBig = Self(rawValue: 1009)
  public static let internalError = Self(rawValue: 1011)
  public static let serviceRestart = Self(rawValue: 1012)
  public static let tryAgainLater = Self(rawValue: 1013)

  /// A code of Penstock: the token that the connection was opened with has expired.
  public static let credentialsExpired = Self(rawValue: 4001)

  /// Whether the code may stand in a frame: 1004...1006 and 1015 never may, 1016...2999 are not assigned,
  /// 3000...4999 belong to libraries and applications.
  public var isAllowedOnWire: Bool {
    switch rawValue {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }

  public var description: String { String(rawValue) }
}
