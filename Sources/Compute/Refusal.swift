import Events
import Logging
import Synchronization
import Views

/// Why nothing that was counted may be answered with, or counted on from: it is of another log, or the log has lost some of it. Whatever
/// set it, somebody must act, and the process be started anew; until then the first reason stands.
final class Refusal: Sendable {
  struct Reason: Sendable {
    var detail: String
    /// Then nothing that was counted holds; else the log has lost some of it.
    var isAnotherLog: Bool

    var error: ViewStoreError { .unusable(code: isAnotherLog ? "another_log" : "log_behind", detail: detail) }
  }

  private let kept: Mutex<Reason?>
  private let log: any EventLog
  private let logger: Logger

  /// - Parameters:
  ///   - detail: Of another log, known from the start.
  ///   - log: Says when another has taken its place.
  ///   - logger: Told of the reason.
  init(_ detail: String?, log: any EventLog, logger: Logger) {
    self.log = log
    self.logger = logger
    kept = Mutex(nil)
    if let detail { note(detail) }
  }

  /// Of what was counted; nil as a rule.
  var now: Reason? { kept.withLock { $0 } }

  /// Why nothing is to be answered just now; nil as a rule.
  var reason: Reason? { now ?? log.replacement.map { Reason(detail: $0.description, isAnotherLog: true) } }

  /// - Throws: While nothing is to be answered.
  func check() throws(ViewStoreError) { if let reason { throw reason.error } }

  /// - Throws: While nothing that was counted holds.
  func checkLog() throws(ViewStoreError) { if let reason, reason.isAnotherLog { throw reason.error } }

  /// The log is another one.
  func note(_ detail: String) { set(Reason(detail: detail, isAnotherLog: true)) }

  /// Holds how far a generation has counted against the log's end, asked for later: it can only lie beyond.
  /// - Returns: Whether the log has lost what was counted.
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
