import Metrics

struct ComputeMetrics: Sendable {
  let eventsApplied = Counter(label: "penstock_compute_events_applied_total")
  let eventsAmended = Counter(label: "penstock_compute_events_amended_total")
  let eventsFiltered = Counter(label: "penstock_compute_events_filtered_total")
  let eventsLate = Counter(label: "penstock_compute_events_late_total")
  let checkpointRows = Counter(label: "penstock_compute_checkpoint_rows_total")
  let checkpointTime = Timer(label: "penstock_compute_checkpoint_seconds")
  let stateBytes: [Gauge]
  let checkpointFailures = Counter(label: "penstock_compute_checkpoint_failures_total")

  /// The events of the log that a view has not counted yet, in one worker's partitions.
  static func pending(view: String, worker: Int) -> Gauge {
    Gauge(label: "penstock_compute_events_pending", dimensions: [("view", view), ("worker", "\(worker)")])
  }

  init(workers: Int) {
    stateBytes = (0..<workers).map { Gauge(label: "penstock_compute_state_bytes", dimensions: [("worker", "\($0)")]) }
  }
}
