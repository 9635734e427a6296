import Metrics
import Synchronization

/// The metrics of a server of the mesh. Labels are the service, the method and the status, so they are few.
final class WireServerMetrics: Sendable {
  private struct Key: Hashable {
    var method: String
    var status: Int
  }

  private let service: String
  private let requests = Mutex<[Key: Counter]>([:])
  private let duration: Metrics.Timer
  private let received: Counter

  init(service: String) {
    self.service = service
    duration = Metrics.Timer(label: "penstock_wire_request_seconds", dimensions: [("service", service)])
    received = Counter(label: "penstock_wire_received_bytes_total", dimensions: [("service", service)])
  }

  /// - Parameter after: The time from the request's last byte to its answer.
  func answered(_ method: String, _ status: Int, received bytes: Int, after time: Duration) {
    let key = Key(method: ["GET", "POST", "HEAD", "DELETE"].contains(method) ? method : "other", status: status)
    let counter = requests.withLock { counters in
      if let known = counters[key] { return known }
      let counter = Counter(
        label: "penstock_wire_requests_total",
        dimensions: [("service", service), ("method", method), ("status", String(status))])
      counters[key] = counter
      return counter
    }
    counter.increment()
    received.increment(by: bytes)
    duration.recordNanoseconds(time.nanosecondsHeld)
  }
}
