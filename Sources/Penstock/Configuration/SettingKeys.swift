/// Every key there is. Order is the order of `penstock config check` and docs/configuration.md.
enum SettingKeys {
  static let data = Setting<String>.path("data", default: "./data", help: "The folder that holds the log and the views' state.")
  static let views = Setting<String>.path("views", default: "config/views.yaml", help: "The file that defines the views.")

  enum Ingest {
    static let listen = Setting<ListenAddress>.address(
      "ingest.listen", default: "127.0.0.1:4000", help: "Where devices connect, by WebSocket and HTTP.")
    static let messageBytesMax = Setting<Int>.size(
      "ingest.message_bytes_max", default: .mebibytes(1), in: .kibibytes(1) ... .mebibytes(16),
      help: "The largest WebSocket message or HTTP body, after inflating; a larger one is closed with 1009 or answered with 413.")
    static let unackedMessagesMax = Setting<Int>.count(
      "ingest.unacked_messages_max", default: 1024, in: 1...65_536,
      help: "Messages a connection may have unacknowledged before the server stops reading from it.")
    static let connectionsMax = Setting<Int>.count(
      "ingest.connections_max", default: 10_000, in: 1...1_000_000,
      help: "Connections open at once; the next is closed with 1013, or answered with 503.")
    static let heartbeat = Setting<Duration>.duration(
      "ingest.heartbeat", default: .seconds(30), in: .milliseconds(100) ... .seconds(3600),
      help: "How often the server pings; a peer silent for two of these is closed.")
    static let dedupWindow = Setting<Duration>.duration(
      "ingest.dedup_window", default: .seconds(3600), in: .seconds(0) ... .seconds(7 * 86_400),
      help: "How long (source, id) of events without a sequence is remembered.")
  }

  enum Log {
    static let listen = Setting<ListenAddress>.address(
      "log.listen", default: "127.0.0.1:7000", help: "Where the log serves the mesh; `penstock up` does not open it.")
    static let partitions = Setting<Int>.count(
      "log.partitions", default: 8, in: 1...1024,
      help: "Partitions of a new log; an existing log keeps the number it was made with.")
    static let sync = Setting<SyncPolicy>.choice(
      "log.sync", default: .always,
      help: "When an append is synced: always, before its ack; interval, every sync_interval; never, left to the kernel.")
    static let syncInterval = Setting<Duration>.duration(
      "log.sync_interval", default: .milliseconds(5), in: .milliseconds(1) ... .seconds(60),
      help: "Time between syncs where log.sync is interval.")
    static let segmentBytesMax = Setting<Int>.size(
      "log.segment_bytes_max", default: .mebibytes(64), in: .mebibytes(1) ... .gibibytes(4),
      help: "A segment that has reached this size is sealed and the next begun.")
    static let codec = Setting<BatchCodec>.choice(
      "log.codec", default: .none, help: "How batches are stored: none, or deflate, which trades CPU for space.")
    static let dedupIdentitiesMax = Setting<Int>.count(
      "log.dedup_identities_max", default: 262_144, in: 1...16_777_216,
      help: "(source, id) pairs a partition remembers at most; the oldest are forgotten first, even within the dedup window.")
    static let retentionAge = Setting<Duration?>.optionalDuration(
      "log.retention.age", in: .seconds(60) ... .seconds(36_500 * 86_400),
      help: "Age past which events are deleted, by whole segments, once every view has counted them; null keeps all.")
    static let retentionBytes = Setting<Int?>.optionalSize(
      "log.retention.bytes", in: .mebibytes(1) ... .tebibytes(1024),
      help: "Size of a partition past which its oldest segments are deleted, once every view has counted them; null keeps all.")
    static let retentionInterval = Setting<Duration>.duration(
      "log.retention.interval", default: .seconds(30), in: .milliseconds(100) ... .seconds(86_400),
      help: "How often retention looks for segments to delete.")
    static let diskReserve = Setting<Int>.size(
      "log.disk_reserve", default: .mebibytes(64), in: .kibibytes(0) ... .tebibytes(1),
      help: "Room on the disk that appends leave free: below it ingest answers 503, until there is more; 0 lets the disk fill up."
    )
  }

  enum Compute {
    static let listen = Setting<ListenAddress>.address(
      "compute.listen", default: "127.0.0.1:8000", help: "Where workers serve the mesh; `penstock up` does not open it.")
    static let workers = Setting<Int>.count(
      "compute.workers", default: 0, in: 0...256, help: "Worker threads; 0 takes one per core.")
    static let checkpointInterval = Setting<Duration>.duration(
      "compute.checkpoint_interval", default: .seconds(1), in: .milliseconds(10) ... .seconds(600),
      help: "Time between checkpoints: how much a crash makes a worker read again.")
    static let changedRowsMax = Setting<Int>.count(
      "compute.changed_rows_max", default: 200_000, in: 1000...100_000_000,
      help: "A worker checkpoints when it has changed this many rows even if the interval has not passed: bounds its memory.")
  }

  enum Query {
    static let listen = Setting<ListenAddress>.address(
      "query.listen", default: "127.0.0.1:8080", help: "Where analysts connect, by HTTP.")
    static let rowsMax = Setting<Int>.count(
      "query.rows_max", default: 100_000, in: 1...1_000_000, help: "Rows or events one page holds at most; a cursor leads on.")
  }

  /// Every declaration, for messages, `config check` and the documentation. `Settings` reads exactly these: a test holds the two
  /// together.
  static let all: [SettingDeclaration] = [
    SettingDeclaration(data), SettingDeclaration(views),
    SettingDeclaration(Ingest.listen), SettingDeclaration(Ingest.messageBytesMax),
    SettingDeclaration(Ingest.unackedMessagesMax), SettingDeclaration(Ingest.connectionsMax),
    SettingDeclaration(Ingest.heartbeat), SettingDeclaration(Ingest.dedupWindow),
    SettingDeclaration(Log.listen), SettingDeclaration(Log.partitions), SettingDeclaration(Log.sync),
    SettingDeclaration(Log.syncInterval), SettingDeclaration(Log.segmentBytesMax), SettingDeclaration(Log.codec),
    SettingDeclaration(Log.dedupIdentitiesMax), SettingDeclaration(Log.retentionAge), SettingDeclaration(Log.retentionBytes),
    SettingDeclaration(Log.retentionInterval), SettingDeclaration(Log.diskReserve),
    SettingDeclaration(Compute.listen), SettingDeclaration(Compute.workers), SettingDeclaration(Compute.checkpointInterval),
    SettingDeclaration(Compute.changedRowsMax),
    SettingDeclaration(Query.listen), SettingDeclaration(Query.rowsMax),
  ]
}
