import Events
import Synchronization

/// Whether the answering log is the one that this process began with.
final class LogContact: Sendable {
  let identity: LogIdentity
  /// The log's identity in the form of `LogIdentity`.
  let name: String
  private let other = Mutex<LogError?>(nil)

  init(_ identity: LogIdentity) {
    self.identity = identity
    name = identity.description
  }

  /// The state for `EventLog.replacement`, from the last answer.
  var replacement: LogError? { other.withLock { $0 } }

  /// Checks which log an answer comes from.
  /// - Returns: An error where it is another one; nil where it is the right one, or where the answer comes from somebody on the
  ///   way.
  func judge(_ response: WireResponse) -> LogError? {
    guard let named = response.headers[LogContact.header] else { return nil }
    let error = named == name ? nil : LogContact.error(named, wanted: name)
    other.withLock { $0 = error }
    return error
  }

  private static let header = WireVersion.logHeader.lowercased()

  private static func error(_ named: String, wanted: String) -> LogError {
    LogError(
      .anotherLog,
      """
      the log that answers is \(named.prefix(64)), and this process began with \(wanted): offsets and counts of the one mean nothing in \
      the other. Bring the first one back, or restart this process to go on with the other
      """)
  }
}
