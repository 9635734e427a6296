import CoreMetrics
import Events

/// The log's metrics, made once a log.
struct LogMetrics: Sendable {
  let appendedEvents = Counter(label: "penstock_log_append_events_total")
  let appendedBytes = Counter(label: "penstock_log_append_bytes_total")
  let appendedBatches = Counter(label: "penstock_log_append_batches_total")
  /// Batches that came again after a lost answer, and were in the log already.
  let resent = Counter(label: "penstock_log_append_resent_total")
  /// Groups written, each with one sync under `sync: always`.
  let groups = Counter(label: "penstock_log_append_groups_total")
  let duplicates = Counter(label: "penstock_log_duplicates_total")
  let fenced = Counter(label: "penstock_log_fenced_total")
  /// (source, id) forgotten before the dedup window was over, for want of room.
  let identitiesForgotten = Counter(label: "penstock_log_dedup_identities_forgotten_total")
  /// Appends refused because too much waited.
  let refused = Counter(label: "penstock_log_append_refused_total")
  let fsync = CoreMetrics.Timer(label: "penstock_log_fsync_seconds")
  let segments = Meter(label: "penstock_log_segments")
  let poisoned = Meter(label: "penstock_log_partitions_poisoned")
  let failed = Meter(label: "penstock_log_partitions_failed")
  /// Partitions that take no appends until the disk has room again.
  let diskFull = Meter(label: "penstock_log_partitions_disk_full")
  /// Bytes free on the log's disk, as far as this user may use it; measured while there is a reserve to keep.
  let diskFreeBytes = Gauge(label: "penstock_log_disk_free_bytes")
  let tornBytes = Counter(label: "penstock_log_torn_bytes_total")
}
