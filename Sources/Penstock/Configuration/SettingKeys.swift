import Events

/// Every key there is: where its value goes in `Settings`, whose default there is the key's, and what it takes. Order is the
/// order of `penstock config check` and docs/configuration.md.
enum SettingKeys {
  static let bindings: [SettingBinding] = {
    var keys = SettingList()
    general(&keys)
    ingest(&keys)
    log(&keys)
    compute(&keys)
    query(&keys)
    auth(&keys)
    tls(&keys)
    mesh(&keys)
    return keys.bindings
  }()

  /// Every declaration, for messages, `config check` and the documentation.
  static let all: [SettingDeclaration] = bindings.map(\.declaration)

  private static func general(_ keys: inout SettingList) {
    keys.bind(\.data, .path("data", help: "The folder that holds the log and the views' state."))
    keys.bind(\.views, .path("views", help: "The file that defines the views."))
  }

  private static func ingest(_ keys: inout SettingList) {
    keys.bind(
      \.ingest.listen,
      .address(
        "ingest.listen", help: "Where devices connect, by WebSocket and HTTP."))
    keys.bind(\.ingest.hosts, .hosts("ingest"))
    keys.bind(\.ingest.origins, .origins("ingest"))
    keys.bindServing("ingest", \.ingest.serving)
    keys.bind(
      \.ingest.messageBytesMax,
      .size(
        "ingest.message_bytes_max", in: .kibibytes(1) ... .mebibytes(16),
        help:
          "The largest WebSocket message or HTTP body, after inflating; a larger one is closed with 1009 or answered with 413."))
    keys.bind(
      \.ingest.unackedMessagesMax,
      .count(
        "ingest.unacked_messages_max", in: 1...65_536,
        help: "Messages a connection may have unacknowledged before the server stops reading from it."))
    keys.bind(
      \.ingest.reactors,
      .count(
        "ingest.reactors", in: 0...64,
        help:
          "Threads that carry devices' plain WebSocket streams; with 0 the event loops carry them, as they carry HTTP and TLS."))
    keys.bind(
      \.ingest.deviceConnectionsMax,
      .count(
        "ingest.device_connections_max", in: 1...1_000_000,
        help: "WebSockets one device may have open, where tokens tell devices apart; the next is answered with 429."))
    keys.bind(
      \.ingest.deviceEventsPerSecondMax,
      .optionalCount(
        "ingest.device_events_per_second_max", in: 1...1_000_000_000,
        help:
          "Events a second of one device, where tokens tell devices apart; beyond, it is not read for a while, or answered with 429."
      ))
    keys.bind(
      \.ingest.ahead,
      .choice(
        "ingest.ahead",
        help:
          "Events further ahead of the clock than compute.clock_ahead_max: accept takes and counts them, reject refuses them with time_in_future."
      ))
    keys.bind(
      \.ingest.heartbeat,
      .duration(
        "ingest.heartbeat", in: .milliseconds(100) ... .seconds(3600),
        help: "How often the server pings; a peer silent for two of these is closed."))
    keys.bind(
      \.log.configuration.dedupWindow,
      .duration(
        "ingest.dedup_window", in: .seconds(0) ... .seconds(7 * 86_400),
        help: "How long (source, id) of events without a sequence is remembered."))
  }

  private static func log(_ keys: inout SettingList) {
    keys.bind(
      \.log.listen,
      .address(
        "log.listen", help: "Where the log serves the mesh; `penstock up` does not open it."))
    keys.bindServing("log", \.log.serving)
    keys.bind(
      \.log.configuration.partitions,
      .count(
        "log.partitions", in: 1...1024,
        help: "Partitions of a new log; an existing log keeps the number it was made with."))
    keys.bind(
      \.log.configuration.syncChoice,
      .choice(
        "log.sync",
        help: "When an append is synced: always, before its ack; interval, every sync_interval; never, left to the kernel."))
    keys.bind(
      \.log.syncInterval,
      .duration(
        "log.sync_interval", in: .milliseconds(1) ... .seconds(60),
        help: "Time between syncs where log.sync is interval."))
    keys.bind(
      \.log.configuration.segmentBytesMax,
      .size(
        "log.segment_bytes_max", in: .mebibytes(1) ... .gibibytes(4),
        help: "A segment that has reached this size is sealed and the next begun."))
    keys.bind(
      \.log.configuration.codecChoice,
      .choice(
        "log.codec", help: "How batches are stored: none, or deflate, which trades CPU for space."))
    keys.bind(
      \.log.configuration.dedupIdentitiesMax,
      .count(
        "log.dedup_identities_max", in: 1...16_777_216,
        help: "(source, id) pairs a partition remembers at most; the oldest are forgotten first, even within the dedup window."))
    keys.bind(
      \.log.configuration.retention.age,
      .optionalDuration(
        "log.retention.age", in: .seconds(60) ... .seconds(36_500 * 86_400),
        help: "Age past which events are deleted, by whole segments, once every view has counted them; null keeps all."))
    keys.bind(
      \.log.configuration.retention.bytes,
      .optionalSize(
        "log.retention.bytes", in: .mebibytes(1) ... .tebibytes(1024),
        help: "Size of a partition past which its oldest segments are deleted, once every view has counted them; null keeps all.")
    )
    keys.bind(
      \.log.retentionInterval,
      .duration(
        "log.retention.interval", in: .milliseconds(100) ... .seconds(86_400),
        help: "How often retention looks for segments to delete."))
    keys.bind(
      \.log.configuration.diskReserveBytes,
      .size(
        "log.disk_reserve", in: .kibibytes(0) ... .tebibytes(1),
        help:
          "Room on the disk that appends leave free: below it ingest answers 503, until there is more; 0 lets the disk fill up."
      ))
  }

  private static func compute(_ keys: inout SettingList) {
    keys.bind(
      \.compute.listen,
      .address(
        "compute.listen", help: "Where workers serve the mesh; `penstock up` does not open it."))
    keys.bindServing("compute", \.compute.serving)
    keys.bind(
      \.compute.configuration.workers,
      .count(
        "compute.workers", in: 0...256, help: "Worker threads; 0 takes one per core."))
    keys.bind(
      \.compute.configuration.checkpointInterval,
      .duration(
        "compute.checkpoint_interval", in: .milliseconds(10) ... .seconds(600),
        help: "Time between checkpoints: how much a crash makes a worker read again."))
    keys.bind(
      \.compute.configuration.memoryBytesMax,
      .size(
        "compute.memory_bytes_max", in: .mebibytes(1) ... .tebibytes(1),
        help: "Memory for views' rows, over all workers: of more, those that changed longest ago are in the workers' files only.")
    )
    keys.bind(
      \.compute.configuration.changedRowsMax,
      .count(
        "compute.changed_rows_max", in: 1000...100_000_000,
        help: "A worker checkpoints when it has changed this many rows even if the interval has not passed: bounds its memory."))
    keys.bind(
      \.compute.configuration.lateEventsMax,
      .count(
        "compute.late_events_max", in: 0...10_000_000,
        help: "Late events of each view and partition that are listed, the last ones; all are counted."))
    keys.bind(
      \.compute.configuration.keptCheckpointsMax,
      .count(
        "compute.kept_checkpoints", in: 0...1000,
        help: "Copies of each worker's file kept for reads at a past point (`as_of`), which begin at the nearest; 0 keeps none."))
    keys.bind(
      \.compute.configuration.keptCheckpointInterval,
      .duration(
        "compute.kept_checkpoint_interval", in: .seconds(1) ... .seconds(2_592_000),
        help: "Time from one such copy to the next."))
    keys.bind(
      \.compute.configuration.keptBytesMax,
      .size(
        "compute.kept_bytes_max", in: .mebibytes(1) ... .tebibytes(16),
        help: "Bytes of all such copies; the oldest go first."))
    keys.bind(
      \.compute.configuration.clockAheadMax,
      .duration(
        "compute.clock_ahead_max", in: .zero ... .seconds(86_400),
        help:
          "How far beyond its append time an event's time closes windows of its source: a clock that is further ahead closes none sooner."
      ))
    keys.bind(
      \.compute.configuration.sourceIdle,
      .duration(
        "compute.source_idle", in: .seconds(1) ... .seconds(31_536_000),
        help: "A source that appended nothing for this long keeps no row from being final."))
    keys.bind(
      \.compute.configuration.neighbours,
      .optionalPath(
        "compute.neighbours",
        help:
          "A folder with the data folders of all compute instances on this machine: who takes a partition over begins with the state left there."
      ))
    keys.bind(
      \.compute.configuration.acceptedLogText,
      .optionalText(
        "compute.accept_log", expected: "null, or a log's identity, as the error that asks for it has it",
        help:
          "The log that may take the place of the one that the views were computed from: their state is put aside and computed anew."
      ) { LogIdentity(parsing: $0) != nil })
  }

  private static func query(_ keys: inout SettingList) {
    keys.bind(
      \.query.listen,
      .address(
        "query.listen", help: "Where analysts connect, by HTTP."))
    keys.bind(\.query.hosts, .hosts("query"))
    keys.bind(\.query.origins, .origins("query"))
    keys.bind(
      \.query.serving.stallTimeout,
      .duration(
        "query.stall_timeout", in: .milliseconds(100) ... .seconds(3600),
        help: "A reader that takes no byte of an answer or a stream for so long is cut off."))
    keys.bindServing("query", \.query.serving)
    keys.bind(
      \.query.rowsMax,
      .count(
        "query.rows_max", in: 1...1_000_000, help: "Rows or events one page holds at most; a cursor leads on."))
    keys.bind(
      \.query.pinnedBytesMax,
      .size(
        "query.pinned_bytes_max", in: .mebibytes(1) ... .gibibytes(64),
        help: "Bytes of results kept so that all their pages are of one moment; the newest is kept whatever its size."))
    keys.bind(
      \.query.pinnedLifetime,
      .duration(
        "query.pinned_lifetime", in: .seconds(1) ... .seconds(86_400),
        help: "How long such a result is kept after it was asked for last."))
    keys.bind(
      \.query.exportsMax,
      .count(
        "query.exports_max", in: 1...1024,
        help:
          "Answers in csv or ndjson of all rows that are read at a time; others wait, and are answered 503 at their `timeout`."))
    keys.bind(
      \.query.exportTimeMax,
      .duration(
        "query.export_time_max", in: .seconds(1) ... .seconds(86_400),
        help: "How long such an answer may take; a reader that is slower is cut off."))
    keys.bind(
      \.query.streamsMax,
      .count(
        "query.streams_max", in: 1...65_536,
        help: "Live streams at a time; more are answered 503."))
    keys.bind(
      \.query.streamRowsMax,
      .count(
        "query.stream_rows_max", in: 1...1_000_000,
        help: "Rows of one live stream at most."))
    keys.bind(
      \.query.streamBytesMax,
      .size(
        "query.stream_bytes_max", in: .kibibytes(64) ... .gibibytes(4),
        help: "Bytes that one live stream holds at most: what waits for its reader, and what is known of what it has."))
    keys.bind(
      \.query.streamsBytesMax,
      .size(
        "query.streams_bytes_max", in: .mebibytes(1) ... .gibibytes(64),
        help: "Bytes that all live streams hold at most; beyond, the one whose reader has taken nothing longest is ended."))
    keys.bind(
      \.query.aggregateRowsMax,
      .count(
        "query.aggregate_rows_max", in: 1...100_000_000,
        help: "Rows that an aggregation computed once holds at most."))
    keys.bind(
      \.query.sqlThreads,
      .count(
        "query.sql_threads", in: 1...64,
        help: "Statements of SQL that run at a time, each on a thread of its own; others wait."))
    keys.bind(
      \.query.sqlTimeout,
      .duration(
        "query.sql_timeout", in: .milliseconds(10) ... .seconds(3600),
        help: "A statement that runs longer is ended; a request's `timeout` may say otherwise, up to 1m."))
    keys.bind(
      \.query.sqlMemoryBytesMax,
      .size(
        "query.sql_memory_bytes_max", in: .mebibytes(1) ... .gibibytes(64),
        help: "Bytes SQLite may take while a statement runs."))
    keys.bind(
      \.query.sqlViewRowsMax,
      .count(
        "query.sql_view_rows_max", in: 1...1_000_000_000,
        help: "Rows of views that a statement reads at most, over all it names."))
    keys.bind(
      \.query.sqlAnswerBytesMax,
      .size(
        "query.sql_answer_bytes_max", in: .kibibytes(1) ... .gibibytes(4),
        help: "Bytes of a statement's rows at most, as they are answered."))
    keys.bind(
      \.query.sqlValueBytesMax,
      .size(
        "query.sql_value_bytes_max", in: .kibibytes(4) ... .mebibytes(256),
        help:
          "Bytes of one value of a statement at most, and of one row as it is sorted; a call of a function is not interrupted, and takes the longer the more there are."
      ))
  }

  private static func auth(_ keys: inout SettingList) {
    keys.bind(
      \.auth.tokens,
      .optionalPath(
        "auth.tokens", help: "A file of static tokens, one JSON object a line; read again when it changes."))
    keys.bind(
      \.auth.jwks,
      .optionalText(
        "auth.jwks", expected: "null, or a path, an https:// URL, or an http:// URL on loopback",
        help: "The keys that sign JWTs: a JSON Web Key Set with keys for ES256, EdDSA and (in a file only) HS256."
      ) { !$0.hasPrefix("http://") || isLoopbackURL($0) })
    keys.bind(
      \.auth.jwksRefresh,
      .duration(
        "auth.jwks_refresh", in: .seconds(10) ... .seconds(86_400),
        help: "How often a key set at a URL is fetched again; a token with an unknown `kid` fetches it sooner."))
    keys.bind(
      \.auth.secret,
      .secret(
        "auth.hs256_secret", bytes: 32...4096, help: "A secret shared with who signs JWTs by HS256. Not taken as a flag."))
    keys.bind(
      \.auth.audience,
      .text(
        "auth.audience", help: "A JWT's `aud` has to hold this."))
    keys.bind(
      \.auth.issuer,
      .optionalText(
        "auth.issuer", help: "A JWT's `iss` has to be this; with null, any whose key is known is taken."))
    keys.bind(
      \.auth.sourcesClaim,
      .text(
        "auth.sources_claim",
        help:
          "The JWT's claim that lists the sources its holder may write as (`*` at an end for all that begin so); else its `sub`.")
    )
    keys.bind(
      \.auth.leeway,
      .duration(
        "auth.leeway", in: .seconds(0) ... .seconds(600),
        help: "By how much an issuer's clock may differ from ours."))
  }

  private static func tls(_ keys: inout SettingList) {
    keys.bind(
      \.tls.certificate,
      .optionalPath(
        "tls.certificate",
        help: "PEM file: the server's certificate, then those between it and its root. Read again when it changes."))
    keys.bind(
      \.tls.key,
      .optionalPath(
        "tls.key", help: "PEM file of the certificate's private key, without a passphrase. Read again when it changes."))
    keys.bind(
      \.tls.clientAuthorities,
      .optionalPath(
        "tls.client_ca", help: "PEM file of those who sign clients' certificates, which are then demanded; null demands none."))
  }

  private static func mesh(_ keys: inout SettingList) {
    keys.bind(
      \.mesh.agent,
      .text(
        "mesh.consul", expected: "an address and a port, as 127.0.0.1:8500, or unix:///run/consul/http.sock",
        help: "The HTTP address of this machine's Consul agent, or its Unix socket; `penstock up` does not ask it."
      ) { AgentAddress(parsing: $0) != nil })
    keys.bind(
      \.mesh.tokenFile,
      .optionalText(
        "mesh.token_file", expected: "null, or a path",
        help: "The file that holds this service's Consul ACL token alone; null sends none."))
    keys.bind(
      \.mesh.instance,
      .optionalText(
        "mesh.instance", expected: "null, or 1 to 100 of A-Z a-z 0-9 - _ .",
        help: "This instance's id in Consul, different for each; null makes one of service, host name and port.", isValid: isLabel
      ))
    keys.bind(
      \.mesh.sidecarAddress,
      .text(
        "mesh.sidecar_address", expected: "an address of this machine",
        help: "Where this instance's sidecar listens, and is announced to other machines."
      ) { ListenAddress(parsing: $0.contains(":") ? "[\($0)]:0" : "\($0):0") != nil })
    keys.bind(
      \.mesh.sidecarPort,
      .count(
        "mesh.sidecar_port", in: 0...65_535,
        help: "The sidecar's port; 0 takes 21001 for ingest, 21002 for log, 21003 for compute, 21004 for query."))
    keys.bind(
      \.mesh.sidecarUserName,
      .optionalText(
        "mesh.sidecar_user", expected: "null, or a user's name or number",
        help:
          "The user that the log's and compute's sidecars run as: on this machine only that one, the service's own and root are answered; "
          + "null: the own."
      ) { LocalUser.number(of: $0) != nil })
  }

  private static func isLabel(_ text: String) -> Bool {
    (1...100).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
      }
  }
}

/// `http://127.0.0.1:9000/jwks.json`: a key set in plain text must not leave this machine.
private func isLoopbackURL(_ text: String) -> Bool {
  let authority = text.dropFirst("http://".count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
  let address = ListenAddress(parsing: String(authority)) ?? ListenAddress(parsing: "\(authority):80")
  return address?.isLoopback == true
}
