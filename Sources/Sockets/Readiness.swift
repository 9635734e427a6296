/// The readiness that a socket is watched for, or has.
package struct Readiness: OptionSet, Sendable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Bytes, a connection to accept, or the peer's end of stream.
  package static let read = Readiness(rawValue: 1)
  package static let write = Readiness(rawValue: 2)
  /// Both directions are gone, or the socket failed. Reported whether watched for or not, and again until the socket is closed.
  package static let broken = Readiness(rawValue: 4)
  /// For watching only: report `read` when more bytes arrive, not while some are there.
  package static let onArrival = Readiness(rawValue: 8)
}
