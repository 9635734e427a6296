import Events
import Logging
import Synchronization
import Views

/// The reason why counted results must not be used, or counted on from: they belong to another log, or the log has lost
/// some of their events. An operator must act and restart the process; until then the first reason stands.
final class Refusal: Sendable {
  struct Reason: Sendable {
    var detail: String
    /// Whether no counted result holds; else the log has lost some events.
    var isAnotherLog: Bool

    var error: ViewStoreError { .unusable(code: isAnotherLog ? "another_log" : "log_behind", detail: detail) }
  }

  private let kept: Mutex<Reason?>
  private let log: any EventLog
  private let logger: Logger

  /// - Parameters:
  ///   - detail: The reason if another log is known from the start.
  ///   - log: Says when another has taken its place.
  ///   - logger: Told of the reason.
  init(_ detail: String?, log: any EventLog, logger: Logger) {
    self.log = log
    self.logger = logger
    kept = Mutex(nil)
    if let detail { note(detail) }
  }

  /// The reason that concerns counted results; nil as a rule.
  var now: Reason? { kept.withLock { $0 } }

  /// The reason why nothing may be answered now; nil as a rule.
  var reason: Reason? { now ?? log.replacement.map { Reason(detail: $0.description, isAnotherLog: true) } }

  /// - Throws: While nothing is to be answered.
  func check() throws(ViewStoreError) { if let reason { throw reason.error } }

  /// - Throws: While nothing that was counted holds.
  func checkLog() throws(ViewStoreError) { if let reason, reason.isAnotherLog { throw reason.error } }

  func note(_ detail: String) { set(Reason(detail: detail, isAnotherLog: true)) }

  /// Compares a generation's next offset with the log's end, asked for later: the end can only be beyond it.
  /// - Returns: Whether the log has lost counted events.
  @discardableResult
  func check(_ generation: GenerationID, _ partition: PartitionID, counted: Offset, highWatermark: Offset) -> Bool {
    guard counted > highWatermark else { return false }
    set(Reason(detail: Refusal.behind(generation, partition, counted, highWatermark), isAnotherLog: false))
    return true
  }

  static func behind(_ generation: GenerationID, _ partition: PartitionID, _ counted: Offset, _ highWatermark: Offset) -> String {
    """
    view \(generation) has counted partition \(partition) up to offset \(counted), but the log ends at \(highWatermark): acknowledged \
    events were lost, or the state is of another log. Bring them back, or move the folder of the state away: then the views are computed anew
    """
  }

  private func set(_ reason: Reason) {
    let isNew = kept.withLock { current in
      // Another log explains all else.
      guard current == nil || (reason.isAnotherLog && current?.isAnotherLog == false) else { return false }
      current = reason
      return true
    }
    if isNew { logger.critical("\(reason.detail)") }
  }
}
