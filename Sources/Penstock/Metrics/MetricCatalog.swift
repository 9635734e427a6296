/// The meaning of each metric, for `/metrics` (HELP) and docs/metrics.md. A test compares both with the metrics that exist.
enum MetricCatalog {
  static let helps: [(name: String, help: String)] = [
    ("penstock_ingest_events_received_total", "Events that arrived, whatever became of them."),
    ("penstock_ingest_events_appended_total", "Events acknowledged that are new in the log."),
    ("penstock_ingest_events_duplicate_total", "Events acknowledged that the log had already."),
    (
      "penstock_ingest_duplicates_suspect_total",
      "Duplicates that may be new events: their device's count has jumped ahead, or begun anew."
    ),
    (
      "penstock_ingest_events_ahead_total",
      "Appended events whose time is further ahead of the clock than compute.clock_ahead_max: a device's clock is wrong."
    ),
    (
      "penstock_ingest_events_rejected_total",
      "Events that were not taken, by reject code; a whole message that is bad counts as one."
    ),
    ("penstock_ingest_bytes_received_total", "Bytes of messages and bodies read, after inflating."),
    ("penstock_ingest_connections", "Devices connected over WebSocket now."),
    ("penstock_ingest_ack_seconds", "From a message's arrival to its acknowledgement, the sync between them."),
    ("penstock_log_append_events_total", "Events appended."),
    ("penstock_log_append_bytes_total", "Bytes of batches appended."),
    ("penstock_log_append_batches_total", "Batches appended."),
    ("penstock_log_append_groups_total", "Groups of batches written, each with one sync under sync: always."),
    ("penstock_log_append_refused_total", "Appends refused because too much waited already."),
    ("penstock_log_append_resent_total", "Batches that came again after a lost answer, and were in the log already."),
    ("penstock_log_duplicates_total", "Events left out because their sequence or id was in the log already."),
    ("penstock_log_fenced_total", "Events left out because their epoch was below their source's present one."),
    ("penstock_log_dedup_identities_forgotten_total", "Identities forgotten before the dedup window was over, for want of room."),
    ("penstock_log_fsync_seconds", "One sync of a segment."),
    ("penstock_log_segments", "Segment files of all partitions."),
    ("penstock_log_torn_bytes_total", "Bytes cut off the ends of segments at start: never acknowledged."),
    ("penstock_log_partitions_failed", "Partitions that did not open because of damage."),
    ("penstock_log_partitions_poisoned", "Partitions that take no appends after a failed write or sync, until a restart."),
    ("penstock_log_partitions_disk_full", "Partitions that take no appends until the disk has room again."),
    ("penstock_log_disk_free_bytes", "Free on the log's disk, as of the last look; 0 while there is no reserve to keep."),
    ("penstock_compute_events_applied_total", "Events counted in a window, of each view once."),
    (
      "penstock_compute_events_amended_total",
      "Applied events that changed windows which the largest event time of their partition had closed, of each view once."
    ),
    ("penstock_compute_events_filtered_total", "Events that a view's where leaves out, of each view once."),
    ("penstock_compute_events_late_total", "Events whose windows had closed for their source, or were past retention, of each view once."),
    ("penstock_compute_aggregate_partitions_total", "Partitions folded once for aggregations of which nothing is kept."),
    ("penstock_compute_events_pending", "Events a view has not counted yet, of each worker's partitions."),
    ("penstock_compute_state_bytes", "Memory that views' rows take, of each worker."),
    ("penstock_compute_checkpoint_seconds", "Writing one checkpoint."),
    ("penstock_compute_checkpoint_rows_total", "Rows written by checkpoints."),
    ("penstock_compute_checkpoint_failures_total", "Checkpoints that failed; each is tried again."),
    ("penstock_query_requests_total", "Requests answered, by route and status."),
    ("penstock_query_request_seconds", "From a request's last byte to the answer's first ones, by route."),
    ("penstock_connections_displaced_total", "Idle connections closed to make room for new ones, by service."),
    (
      "penstock_connections_refused_total",
      "Connections that found no room, by service: served health and metrics only, or closed."
    ),
    ("penstock_wire_requests_total", "Requests of other services answered, by service, method and status."),
    ("penstock_wire_request_seconds", "From the last byte of another service's request to its answer."),
    ("penstock_wire_received_bytes_total", "Bytes of other services' request bodies."),
    ("penstock_wire_append_retries_total", "Appends sent to the log again after no answer, or one that asked to."),
  ]
}
