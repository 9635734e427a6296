import Events
import Ingest

/// Every key there is. Order is the order of `penstock config check` and docs/configuration.md.
enum SettingKeys {
  static let data = Setting<String>.path("data", default: "./data", help: "The folder that holds the log and the views' state.")
  static let views = Setting<String>.path("views", default: "config/views.yaml", help: "The file that defines the views.")

  enum Ingest {
    static let listen = Setting<ListenAddress>.address(
      "ingest.listen", default: "127.0.0.1:4000", help: "Where devices connect, by WebSocket and HTTP.")
    static let hosts = Setting<[String]>.hosts("ingest")
    static let origins = Setting<[String]>.origins("ingest")
    static let serving = ServingKeys("ingest", connectionsMax: 10_000)
    static let messageBytesMax = Setting<Int>.size(
      "ingest.message_bytes_max", default: .mebibytes(1), in: .kibibytes(1) ... .mebibytes(16),
      help: "The largest WebSocket message or HTTP body, after inflating; a larger one is closed with 1009 or answered with 413.")
    static let reactors = Setting<Int>.count(
      "ingest.reactors", default: IngestConfiguration.defaultReactors, in: 0...64,
      help: "Threads that carry devices' plain WebSocket streams; with 0 the event loops carry them, as they carry HTTP and TLS.")
    static let unackedMessagesMax = Setting<Int>.count(
      "ingest.unacked_messages_max", default: 1024, in: 1...65_536,
      help: "Messages a connection may have unacknowledged before the server stops reading from it.")
    static let deviceConnectionsMax = Setting<Int>.count(
      "ingest.device_connections_max", default: 1024, in: 1...1_000_000,
      help: "WebSockets one device may have open, where tokens tell devices apart; the next is answered with 429.")
    static let deviceEventsPerSecondMax = Setting<Int?>.optionalCount(
      "ingest.device_events_per_second_max", in: 1...1_000_000_000,
      help:
        "Events a second of one device, where tokens tell devices apart; beyond, it is not read for a while, or answered with 429."
    )
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
    static let serving = ServingKeys("log", connectionsMax: 4096)
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
    static let serving = ServingKeys("compute", connectionsMax: 4096)
    static let workers = Setting<Int>.count(
      "compute.workers", default: 0, in: 0...256, help: "Worker threads; 0 takes one per core.")
    static let checkpointInterval = Setting<Duration>.duration(
      "compute.checkpoint_interval", default: .seconds(1), in: .milliseconds(10) ... .seconds(600),
      help: "Time between checkpoints: how much a crash makes a worker read again.")
    static let memoryBytesMax = Setting<Int>.size(
      "compute.memory_bytes_max", default: .gibibytes(1), in: .mebibytes(1) ... .tebibytes(1),
      help: "Memory for views' rows, over all workers: of more, those that changed longest ago are in the workers' files only.")
    static let lateEventsMax = Setting<Int>.count(
      "compute.late_events_max", default: 100_000, in: 0...10_000_000,
      help: "Late events of each view and partition that are listed, the last ones; all are counted.")
    static let keptCheckpoints = Setting<Int>.count(
      "compute.kept_checkpoints", default: 4, in: 0...1000,
      help: "Copies of each worker's file kept for reads at a past point (`as_of`), which begin at the nearest; 0 keeps none.")
    static let keptCheckpointInterval = Setting<Duration>.duration(
      "compute.kept_checkpoint_interval", default: .seconds(3600), in: .seconds(1) ... .seconds(2_592_000),
      help: "Time from one such copy to the next.")
    static let keptBytesMax = Setting<Int>.size(
      "compute.kept_bytes_max", default: .gibibytes(1), in: .mebibytes(1) ... .tebibytes(16),
      help: "Bytes of all such copies; the oldest go first.")
    static let changedRowsMax = Setting<Int>.count(
      "compute.changed_rows_max", default: 200_000, in: 1000...100_000_000,
      help: "A worker checkpoints when it has changed this many rows even if the interval has not passed: bounds its memory.")
    static let acceptLog = Setting<String?>.optionalText(
      "compute.accept_log", expected: "null, or a log's identity, as the error that asks for it has it",
      help:
        "The log that may take the place of the one that the views were computed from: their state is put aside and computed anew."
    ) { LogIdentity(parsing: $0) != nil }
    static let neighbours = Setting<String?>.optionalPath(
      "compute.neighbours",
      help:
        "A folder with the data folders of all compute instances on this machine: who takes a partition over begins with the state left there."
    )
  }

  enum Query {
    static let listen = Setting<ListenAddress>.address(
      "query.listen", default: "127.0.0.1:8080", help: "Where analysts connect, by HTTP.")
    static let hosts = Setting<[String]>.hosts("query")
    static let origins = Setting<[String]>.origins("query")
    static let serving = ServingKeys("query", connectionsMax: 4096)
    static let stallTimeout = Setting<Duration>.duration(
      "query.stall_timeout", default: .seconds(20), in: .milliseconds(100) ... .seconds(3600),
      help: "A reader that takes no byte of an answer or a stream for so long is cut off.")
    static let rowsMax = Setting<Int>.count(
      "query.rows_max", default: 100_000, in: 1...1_000_000, help: "Rows or events one page holds at most; a cursor leads on.")
    static let pinnedBytesMax = Setting<Int>.size(
      "query.pinned_bytes_max", default: .mebibytes(256), in: .mebibytes(1) ... .gibibytes(64),
      help: "Bytes of results kept so that all their pages are of one moment; the newest is kept whatever its size.")
    static let pinnedLifetime = Setting<Duration>.duration(
      "query.pinned_lifetime", default: .seconds(300), in: .seconds(1) ... .seconds(86_400),
      help: "How long such a result is kept after it was asked for last.")
    static let exportsMax = Setting<Int>.count(
      "query.exports_max", default: 8, in: 1...1024,
      help: "Answers in csv or ndjson of all rows that are read at a time; others wait, and are answered 503 at their `timeout`.")
    static let exportTimeMax = Setting<Duration>.duration(
      "query.export_time_max", default: .seconds(600), in: .seconds(1) ... .seconds(86_400),
      help: "How long such an answer may take; a reader that is slower is cut off.")
    static let streamsMax = Setting<Int>.count(
      "query.streams_max", default: 256, in: 1...65_536,
      help: "Live streams at a time; more are answered 503.")
    static let streamRowsMax = Setting<Int>.count(
      "query.stream_rows_max", default: 10_000, in: 1...1_000_000,
      help: "Rows of one live stream at most.")
    static let streamBytesMax = Setting<Int>.size(
      "query.stream_bytes_max", default: .mebibytes(32), in: .kibibytes(64) ... .gibibytes(4),
      help: "Bytes that one live stream holds at most: what waits for its reader, and what is known of what it has.")
    static let streamsBytesMax = Setting<Int>.size(
      "query.streams_bytes_max", default: .mebibytes(128), in: .mebibytes(1) ... .gibibytes(64),
      help: "Bytes that all live streams hold at most; beyond, the one whose reader has taken nothing longest is ended.")
    static let aggregateRowsMax = Setting<Int>.count(
      "query.aggregate_rows_max", default: 1_000_000, in: 1...100_000_000,
      help: "Rows that an aggregation computed once holds at most.")
    static let sqlThreads = Setting<Int>.count(
      "query.sql_threads", default: 2, in: 1...64,
      help: "Statements of SQL that run at a time, each on a thread of its own; others wait.")
    static let sqlTimeout = Setting<Duration>.duration(
      "query.sql_timeout", default: .seconds(10), in: .milliseconds(10) ... .seconds(3600),
      help: "A statement that runs longer is ended; a request's `timeout` may say otherwise, up to 1m.")
    static let sqlMemoryBytesMax = Setting<Int>.size(
      "query.sql_memory_bytes_max", default: .mebibytes(256), in: .mebibytes(1) ... .gibibytes(64),
      help: "Bytes SQLite may take while a statement runs.")
    static let sqlViewRowsMax = Setting<Int>.count(
      "query.sql_view_rows_max", default: 2_000_000, in: 1...1_000_000_000,
      help: "Rows of views that a statement reads at most, over all it names.")
    static let sqlAnswerBytesMax = Setting<Int>.size(
      "query.sql_answer_bytes_max", default: .mebibytes(64), in: .kibibytes(1) ... .gibibytes(4),
      help: "Bytes of a statement's rows at most, as they are answered.")
    static let sqlValueBytesMax = Setting<Int>.size(
      "query.sql_value_bytes_max", default: .kibibytes(128), in: .kibibytes(4) ... .mebibytes(256),
      help:
        "Bytes of one value of a statement at most, and of one row as it is sorted; a call of a function is not interrupted, and takes the longer the more there are."
    )
  }

  /// Who may do what on the listeners of ingest and query: docs/security.md.
  enum Auth {
    static let tokens = Setting<String?>.optionalPath(
      "auth.tokens", help: "A file of static tokens, one JSON object a line; read again when it changes.")
    static let jwks = Setting<String?>.optionalText(
      "auth.jwks", expected: "null, or a path, an https:// URL, or an http:// URL on loopback",
      help: "The keys that sign JWTs: a JSON Web Key Set with keys for ES256, EdDSA and (in a file only) HS256."
    ) { !$0.hasPrefix("http://") || isLoopbackURL($0) }
    static let jwksRefresh = Setting<Duration>.duration(
      "auth.jwks_refresh", default: .seconds(300), in: .seconds(10) ... .seconds(86_400),
      help: "How often a key set at a URL is fetched again; a token with an unknown `kid` fetches it sooner.")
    static let secret = Setting<String?>.secret(
      "auth.hs256_secret", bytes: 32...4096, help: "A secret shared with who signs JWTs by HS256. Not taken as a flag.")
    static let audience = Setting<String>.text(
      "auth.audience", default: "penstock", help: "What a JWT's `aud` has to hold.")
    static let issuer = Setting<String?>.optionalText(
      "auth.issuer", help: "What a JWT's `iss` has to be; null takes any whose key is known.")
    static let sourcesClaim = Setting<String>.text(
      "auth.sources_claim", default: "sources",
      help:
        "The JWT's claim that lists the sources its holder may write as (`*` at an end for all that begin so); else its `sub`.")
    static let leeway = Setting<Duration>.duration(
      "auth.leeway", default: .seconds(5), in: .seconds(0) ... .seconds(600),
      help: "By how much an issuer's clock may differ from ours.")
  }

  /// TLS on the listeners of ingest and query.
  enum TLS {
    static let certificate = Setting<String?>.optionalPath(
      "tls.certificate",
      help: "PEM file: the server's certificate, then those between it and its root. Read again when it changes.")
    static let key = Setting<String?>.optionalPath(
      "tls.key", help: "PEM file of the certificate's private key, without a passphrase. Read again when it changes.")
    static let clientAuthorities = Setting<String?>.optionalPath(
      "tls.client_ca", help: "PEM file of those who sign clients' certificates, which are then demanded; null demands none.")
  }

  enum Mesh {
    static let consul = Setting<String>.text(
      "mesh.consul", default: "127.0.0.1:8500",
      expected: "an address and a port, as 127.0.0.1:8500, or unix:///run/consul/http.sock",
      help: "The HTTP address of this machine's Consul agent, or its Unix socket; `penstock up` does not ask it."
    ) { AgentAddress(parsing: $0) != nil }
    static let sidecarUser = Setting<String?>.optionalText(
      "mesh.sidecar_user", expected: "null, or a user's name or number",
      help:
        "The user that the log's and compute's sidecars run as: on this machine only that one, the service's own and root are answered; "
        + "null: the own."
    ) { LocalUser.number(of: $0) != nil }
    static let tokenFile = Setting<String?>.optionalText(
      "mesh.token_file", expected: "null, or a path",
      help: "The file that holds this service's Consul ACL token alone; null sends none.")
    static let instance = Setting<String?>.optionalText(
      "mesh.instance", expected: "null, or 1 to 100 of A-Z a-z 0-9 - _ .",
      help: "This instance's id in Consul, different for each; null makes one of service, host name and port.", isValid: isLabel)
    static let sidecarAddress = Setting<String>.text(
      "mesh.sidecar_address", default: "127.0.0.1", expected: "an address of this machine",
      help: "Where this instance's sidecar listens, and is announced to other machines."
    ) { ListenAddress(parsing: $0.contains(":") ? "[\($0)]:0" : "\($0):0") != nil }
    static let sidecarPort = Setting<Int>.count(
      "mesh.sidecar_port", default: 0, in: 0...65_535,
      help: "The sidecar's port; 0 takes 21001 for ingest, 21002 for log, 21003 for compute, 21004 for query.")

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

  /// Every declaration, for messages, `config check` and the documentation. `Settings` reads exactly these: a test holds the two
  /// together.
  static let all: [SettingDeclaration] =
    [
      SettingDeclaration(data), SettingDeclaration(views),
      SettingDeclaration(Ingest.listen), SettingDeclaration(Ingest.hosts), SettingDeclaration(Ingest.origins),
    ] + Ingest.serving.declarations + [
      SettingDeclaration(Ingest.messageBytesMax),
      SettingDeclaration(Ingest.unackedMessagesMax), SettingDeclaration(Ingest.reactors),
      SettingDeclaration(Ingest.deviceConnectionsMax), SettingDeclaration(Ingest.deviceEventsPerSecondMax),
      SettingDeclaration(Ingest.heartbeat), SettingDeclaration(Ingest.dedupWindow),
      SettingDeclaration(Log.listen),
    ] + Log.serving.declarations + [
      SettingDeclaration(Log.partitions), SettingDeclaration(Log.sync),
      SettingDeclaration(Log.syncInterval), SettingDeclaration(Log.segmentBytesMax), SettingDeclaration(Log.codec),
      SettingDeclaration(Log.dedupIdentitiesMax), SettingDeclaration(Log.retentionAge), SettingDeclaration(Log.retentionBytes),
      SettingDeclaration(Log.retentionInterval), SettingDeclaration(Log.diskReserve),
      SettingDeclaration(Compute.listen),
    ] + Compute.serving.declarations + [
      SettingDeclaration(Compute.workers), SettingDeclaration(Compute.checkpointInterval),
      SettingDeclaration(Compute.memoryBytesMax), SettingDeclaration(Compute.changedRowsMax),
      SettingDeclaration(Compute.lateEventsMax),
      SettingDeclaration(Compute.keptCheckpoints), SettingDeclaration(Compute.keptCheckpointInterval),
      SettingDeclaration(Compute.keptBytesMax),
      SettingDeclaration(Compute.neighbours), SettingDeclaration(Compute.acceptLog),
      SettingDeclaration(Query.listen), SettingDeclaration(Query.hosts), SettingDeclaration(Query.origins),
      SettingDeclaration(Query.stallTimeout),
    ] + Query.serving.declarations + [
      SettingDeclaration(Query.rowsMax),
      SettingDeclaration(Query.pinnedBytesMax),
      SettingDeclaration(Query.pinnedLifetime),
      SettingDeclaration(Query.exportsMax),
      SettingDeclaration(Query.exportTimeMax),
      SettingDeclaration(Query.streamsMax),
      SettingDeclaration(Query.streamRowsMax),
      SettingDeclaration(Query.streamBytesMax),
      SettingDeclaration(Query.streamsBytesMax),
      SettingDeclaration(Query.aggregateRowsMax),
      SettingDeclaration(Query.sqlThreads),
      SettingDeclaration(Query.sqlTimeout),
      SettingDeclaration(Query.sqlMemoryBytesMax),
      SettingDeclaration(Query.sqlViewRowsMax),
      SettingDeclaration(Query.sqlAnswerBytesMax),
      SettingDeclaration(Query.sqlValueBytesMax),
      SettingDeclaration(Auth.tokens), SettingDeclaration(Auth.jwks), SettingDeclaration(Auth.jwksRefresh),
      SettingDeclaration(Auth.secret), SettingDeclaration(Auth.audience), SettingDeclaration(Auth.issuer),
      SettingDeclaration(Auth.sourcesClaim), SettingDeclaration(Auth.leeway),
      SettingDeclaration(TLS.certificate), SettingDeclaration(TLS.key), SettingDeclaration(TLS.clientAuthorities),
      SettingDeclaration(Mesh.consul), SettingDeclaration(Mesh.tokenFile), SettingDeclaration(Mesh.instance),
      SettingDeclaration(Mesh.sidecarAddress), SettingDeclaration(Mesh.sidecarPort), SettingDeclaration(Mesh.sidecarUser),
    ]
}

/// `http://127.0.0.1:9000/jwks.json`: what travels in plain text must not leave this machine.
private func isLoopbackURL(_ text: String) -> Bool {
  let authority = text.dropFirst("http://".count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
  let address = ListenAddress(parsing: String(authority)) ?? ListenAddress(parsing: "\(authority):80")
  return address?.isLoopback == true
}
