/// The configuration a service runs with: every value present and within its bounds.
struct Settings: Sendable, Hashable {
  /// The folder of the log and the views' state; relative to the working directory.
  var data: String
  /// The file that defines the views.
  var views: String
  var ingest: IngestSettings
  var log: LogSettings
  var compute: ComputeSettings
  var query: QuerySettings

  /// Reads every key; what is wrong is recorded in `reader`, and its default stands in.
  init(from reader: inout SettingsReader) {
    data = reader.value(SettingKeys.data)
    views = reader.value(SettingKeys.views)
    ingest = IngestSettings(from: &reader)
    log = LogSettings(from: &reader)
    compute = ComputeSettings(from: &reader)
    query = QuerySettings(from: &reader)
  }
}

extension Settings {
  /// What is set but has no effect, in words for the log: nobody should believe otherwise.
  var notices: [String] {
    var notices: [String] = []
    if log.sync != .interval, log.syncInterval != SettingKeys.Log.syncInterval.defaultValue {
      notices.append("log.sync_interval is set, but log.sync is \(log.sync.rawValue): it has no effect")
    }
    return notices
  }
}

struct IngestSettings: Sendable, Hashable {
  var listen: ListenAddress
  /// Inflated bytes of one WebSocket message or HTTP body.
  var messageBytesMax: Int
  var unackedMessagesMax: Int
  var connectionsMax: Int
  var heartbeat: Duration
  var dedupWindow: Duration

  init(from reader: inout SettingsReader) {
    listen = reader.loopback(SettingKeys.Ingest.listen)
    messageBytesMax = reader.value(SettingKeys.Ingest.messageBytesMax)
    unackedMessagesMax = reader.value(SettingKeys.Ingest.unackedMessagesMax)
    connectionsMax = reader.value(SettingKeys.Ingest.connectionsMax)
    heartbeat = reader.value(SettingKeys.Ingest.heartbeat)
    dedupWindow = reader.value(SettingKeys.Ingest.dedupWindow)
  }
}

/// When an append counts as durable.
enum SyncPolicy: String, Sendable, CaseIterable {
  case always
  case interval
  case never
}

/// How a batch's payload is stored.
enum BatchCodec: String, Sendable, CaseIterable {
  case none
  case deflate
}

struct LogSettings: Sendable, Hashable {
  var listen: ListenAddress
  var partitions: Int
  var sync: SyncPolicy
  var syncInterval: Duration
  var segmentBytesMax: Int
  var codec: BatchCodec
  /// (source, id) pairs one partition remembers.
  var dedupIdentitiesMax: Int
  /// Nil keeps every segment.
  var retentionAge: Duration?
  /// Bytes per partition; nil keeps every segment.
  var retentionBytes: Int?
  var retentionInterval: Duration
  /// Bytes of the disk that appends leave free.
  var diskReserve: Int

  init(from reader: inout SettingsReader) {
    listen = reader.loopback(SettingKeys.Log.listen)
    partitions = reader.value(SettingKeys.Log.partitions)
    sync = reader.value(SettingKeys.Log.sync)
    syncInterval = reader.value(SettingKeys.Log.syncInterval)
    segmentBytesMax = reader.value(SettingKeys.Log.segmentBytesMax)
    codec = reader.value(SettingKeys.Log.codec)
    dedupIdentitiesMax = reader.value(SettingKeys.Log.dedupIdentitiesMax)
    retentionAge = reader.value(SettingKeys.Log.retentionAge)
    retentionBytes = reader.value(SettingKeys.Log.retentionBytes)
    retentionInterval = reader.value(SettingKeys.Log.retentionInterval)
    diskReserve = reader.value(SettingKeys.Log.diskReserve)
  }
}

struct ComputeSettings: Sendable, Hashable {
  var listen: ListenAddress
  /// 0: one per core.
  var workers: Int
  var checkpointInterval: Duration
  var changedRowsMax: Int

  init(from reader: inout SettingsReader) {
    listen = reader.loopback(SettingKeys.Compute.listen)
    workers = reader.value(SettingKeys.Compute.workers)
    checkpointInterval = reader.value(SettingKeys.Compute.checkpointInterval)
    changedRowsMax = reader.value(SettingKeys.Compute.changedRowsMax)
  }
}

struct QuerySettings: Sendable, Hashable {
  var listen: ListenAddress
  /// Rows or events on one page.
  var rowsMax: Int

  init(from reader: inout SettingsReader) {
    listen = reader.loopback(SettingKeys.Query.listen)
    rowsMax = reader.value(SettingKeys.Query.rowsMax)
  }
}
