import Events
import Metrics
import Synchronization

/// The counters of ingest, for `/metrics`: received = appended + duplicates + rejected, once nothing is in flight.
struct IngestCounters: Sendable {
  private let eventsReceived = Counter(label: "penstock_ingest_events_received_total")
  private let bytesReceived = Counter(label: "penstock_ingest_bytes_received_total")
  private let eventsAppended = Counter(label: "penstock_ingest_events_appended_total")
  private let eventsDuplicate = Counter(label: "penstock_ingest_events_duplicate_total")
  private let duplicatesSuspect = Counter(label: "penstock_ingest_duplicates_suspect_total")
  private let eventsAhead = Counter(label: "penstock_ingest_events_ahead_total")
  private let eventsRejected: [RejectCode: Counter]
  let streams = OpenStreams()
  let ackLatency = Timer(label: "penstock_ingest_ack_seconds")

  /// The same totals, for the ledger.
  private let totals: ReceivedEventsCount

  /// The last rejects, for people to look at.
  private let rejects: RecentRejects

  /// The sources of suspect duplicates, for people to look at.
  private let suspects: SuspectSources

  /// The sources of events ahead of the clock, for people to look at.
  private let ahead: AheadEventSources

  init(
    totals: ReceivedEventsCount = ReceivedEventsCount(), rejects: RecentRejects = RecentRejects(),
    suspects: SuspectSources = SuspectSources(), ahead: AheadEventSources = AheadEventSources()
  ) {
    self.totals = totals
    self.rejects = rejects
    self.suspects = suspects
    self.ahead = ahead
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
  ///   - reject: The reason.
  ///   - rejected: The known parts of the event.
  ///   - time: The time of its arrival.
  func rejected(_ reject: EventReject, _ rejected: RejectedEvent, at time: Timestamp) {
    count(reject.code, 1)
    rejects.note(reject, rejected, at: time)
  }

  /// Counts rejected events that are not kept for people to look at: enough of their message are.
  func rejected(_ code: RejectCode, _ number: Int) { count(code, number) }

  private func count(_ code: RejectCode, _ number: Int) {
    eventsRejected[code]?.increment(by: number)
    totals.rejected(number)
  }

  /// - Parameters:
  ///   - events: The number of events of one message that the log took none of.
  ///   - error: The log's reason.
  func refused(events: Int, _ error: LogError) {
    count(.logRefused, events)
    rejects.note(EventReject(.logRefused, error.description), RejectedEvent())
  }

  /// Notes a suspect among the duplicates, which are counted elsewhere.
  func suspected(_ named: AppendReceipt.Named) { suspects.note(named, at: .systemNow()) }

  /// Notes the sources of events ahead of the clock, which are counted elsewhere.
  func wereAhead(_ sources: [AheadEventSources.Entry]) { ahead.note(sources) }

  /// Devices' streams that are open now.
  final class OpenStreams: Sendable {
    private let gauge = Gauge(label: "penstock_ingest_connections")
    private let count = Atomic<Int>(0)

    func add(_ difference: Int) { gauge.record(count.add(difference, ordering: .relaxed).newValue) }
  }

  struct Tally {
    var received = 0
    var bytes = 0
    var appended = 0
    var duplicates = 0
    /// The part of the duplicates that is suspect.
    var suspects = 0
    /// The part of the appended events whose time was ahead of the clock.
    var ahead = 0
  }

  /// Adds a loop's counts, and resets them.
  func add(_ tally: inout Tally) {
    if tally.received > 0 || tally.bytes > 0 { received(events: tally.received, bytes: tally.bytes) }
    totals.synced(appended: tally.appended, duplicates: tally.duplicates, suspects: tally.suspects, ahead: tally.ahead)
    if tally.appended > 0 { eventsAppended.increment(by: tally.appended) }
    if tally.duplicates > 0 { eventsDuplicate.increment(by: tally.duplicates) }
    if tally.suspects > 0 { duplicatesSuspect.increment(by: tally.suspects) }
    if tally.ahead > 0 { eventsAhead.increment(by: tally.ahead) }
    tally = Tally()
  }
}
