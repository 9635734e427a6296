import Events
import Metrics
import Synchronization

/// What ingest counts, for `/metrics`: received = appended + duplicates + rejected, once nothing is in flight.
struct IngestCounters: Sendable {
  private let eventsReceived = Counter(label: "penstock_ingest_events_received_total")
  private let bytesReceived = Counter(label: "penstock_ingest_bytes_received_total")
  private let eventsAppended = Counter(label: "penstock_ingest_events_appended_total")
  private let eventsDuplicate = Counter(label: "penstock_ingest_events_duplicate_total")
  private let duplicatesSuspect = Counter(label: "penstock_ingest_duplicates_suspect_total")
  private let eventsRejected: [RejectCode: Counter]
  let streams = OpenStreams()
  let ackLatency = Timer(label: "penstock_ingest_ack_seconds")

  /// The same totals, for the ledger.
  private let totals: ReceivedEventsCount

  /// The last of those rejected, for people to look at.
  private let rejects: RecentRejects

  /// Whose duplicates may be none, likewise.
  private let suspects: SuspectSources

  init(
    totals: ReceivedEventsCount = ReceivedEventsCount(), rejects: RecentRejects = RecentRejects(),
    suspects: SuspectSources = SuspectSources()
  ) {
    self.totals = totals
    self.rejects = rejects
    self.suspects = suspects
    var rejected: [RejectCode: Counter] = [:]
    for code in RejectCode.allCases {
      rejected[code] = Counter(label: "penstock_ingest_events_rejected_total", dimensions: [("code", code.rawValue)])
    }
    eventsRejected = rejected
  }

  func received(events: Int, bytes: Int) {
    eventsReceived.increment(by: events)
    totals.received(events)
    bytesReceived.increment(by: bytes)
  }

  /// - Parameters:
  ///   - reject: Why it was not taken.
  ///   - rejected: What is known of it.
  ///   - time: When it came.
  func rejected(_ reject: EventReject, _ rejected: RejectedEvent, at time: Timestamp) {
    count(reject.code, 1)
    rejects.note(reject, rejected, at: time)
  }

  /// Events that were not taken and are not kept for people to look at: there were enough of their message.
  func rejected(_ code: RejectCode, _ number: Int) { count(code, number) }

  private func count(_ code: RejectCode, _ number: Int) {
    eventsRejected[code]?.increment(by: number)
    totals.rejected(number)
  }

  /// - Parameters:
  ///   - events: Those of one message that the log took none of.
  ///   - error: Why not.
  func refused(events: Int, _ error: LogError) {
    count(.logRefused, events)
    rejects.note(EventReject(.logRefused, error.description), RejectedEvent())
  }

  /// A duplicate that is counted as one may be none.
  func suspected(_ named: AppendReceipt.Named) { suspects.note(named, at: .systemNow()) }

  /// Devices' streams that are open now.
  final class OpenStreams: Sendable {
    private let gauge = Gauge(label: "penstock_ingest_connections")
    private let count = Atomic<Int>(0)

    func add(_ difference: Int) { gauge.record(count.add(difference, ordering: .relaxed).newValue) }
  }

  /// What one loop has counted by itself.
  struct Tally {
    var received = 0
    var bytes = 0
    var appended = 0
    var duplicates = 0
    /// Among the duplicates.
    var suspects = 0
  }

  /// Adds what a loop has counted, and lets it begin anew.
  func add(_ tally: inout Tally) {
    if tally.received > 0 || tally.bytes > 0 { received(events: tally.received, bytes: tally.bytes) }
    totals.synced(appended: tally.appended, duplicates: tally.duplicates, suspects: tally.suspects)
    if tally.appended > 0 { eventsAppended.increment(by: tally.appended) }
    if tally.duplicates > 0 { eventsDuplicate.increment(by: tally.duplicates) }
    if tally.suspects > 0 { duplicatesSuspect.increment(by: tally.suspects) }
    tally = Tally()
  }
}
