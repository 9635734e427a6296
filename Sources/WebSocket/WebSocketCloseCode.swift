/// The number in a close frame (RFC 6455, section 7.4, and IANA's WebSocket Close Code Number Registry).
package struct WebSocketCloseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let normal = Self(rawValue: 1000)
  package static let goingAway = Self(rawValue: 1001)
  package static let protocolError = Self(rawValue: 1002)
  package static let unsupportedData = Self(rawValue: 1003)
  package static let invalidPayload = Self(rawValue: 1007)
  package static let policyViolation = Self(rawValue: 1008)
  package static let messageTooBig = Self(rawValue: 1009)
  package static let internalError = Self(rawValue: 1011)
  package static let serviceRestart = Self(rawValue: 1012)
  package static let tryAgainLater = Self(rawValue: 1013)

  /// A code of Penstock: the token that the connection was opened with has expired.
  package static let credentialsExpired = Self(rawValue: 4001)

  /// Whether the code may stand in a frame: 1004...1006 and 1015 never may, 1016...2999 are not assigned,
  /// 3000...4999 belong to libraries and applications.
  package var isAllowedOnWire: Bool {
    switch rawValue {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }

  package var description: String { String(rawValue) }
}
