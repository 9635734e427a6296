import Events
import Metrics

/// What ingest counts, for `/metrics`: received = appended + duplicates + rejected, once nothing is in flight.
struct IngestCounters: Sendable {
  private let eventsReceived = Counter(label: "penstock_ingest_events_received_total")
  private let bytesReceived = Counter(label: "penstock_ingest_bytes_received_total")
  private let eventsAppended = Counter(label: "penstock_ingest_events_appended_total")
  private let eventsDuplicate = Counter(label: "penstock_ingest_events_duplicate_total")
  private let eventsRejected: [RejectCode: Counter]
  let connections = Gauge(label: "penstock_ingest_connections")
  let ackLatency = Timer(label: "penstock_ingest_ack_seconds")

  /// The same totals, for the ledger.
  private let totals: ReceivedEventsCount

  init(totals: ReceivedEventsCount = ReceivedEventsCount()) {
    self.totals = totals
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

  func rejected(_ code: RejectCode) {
    eventsRejected[code]?.increment()
    totals.rejected(1)
  }

  /// What one loop has counted by itself.
  struct Tally {
    var received = 0
    var bytes = 0
    var appended = 0
    var duplicates = 0
    var rejected: [RejectCode] = []
  }

  /// Adds what a loop has counted, received first, and lets it begin anew.
  func add(_ tally: inout Tally) {
    if tally.bytes > 0 { received(events: tally.received, bytes: tally.bytes) }
    for code in tally.rejected { rejected(code) }
    totals.synced(appended: tally.appended, duplicates: tally.duplicates)
    if tally.appended > 0 { eventsAppended.increment(by: tally.appended) }
    if tally.duplicates > 0 { eventsDuplicate.increment(by: tally.duplicates) }
    tally = Tally()
  }
}
