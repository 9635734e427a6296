import Metrics

/// What compute counts, for `/metrics`.
struct ComputeMetrics: Sendable {
  let eventsApplied = Counter(label: "penstock_compute_events_applied_total")
  let eventsFiltered = Counter(label: "penstock_compute_events_filtered_total")
  let eventsLate = Counter(label: "penstock_compute_events_late_total")
  let checkpointRows = Counter(label: "penstock_compute_checkpoint_rows_total")
  let checkpointTime = Timer(label: "penstock_compute_checkpoint_seconds")
  /// Of each worker.
  let stateBytes: [Gauge]
  let checkpointFailures = Counter(label: "penstock_compute_checkpoint_failures_total")

  init(workers: Int) {
    stateBytes = (0..<workers).map { Gauge(label: "penstock_compute_state_bytes", dimensions: [("worker", "\($0)")]) }
  }
}
