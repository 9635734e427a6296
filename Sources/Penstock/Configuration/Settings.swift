import Serving

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
  var auth: AuthSettings
  var tls: TLSSettings
  var mesh: MeshSettings

  /// Reads every key; what is wrong is recorded in `reader`, and its default stands in.
  init(from reader: inout SettingsReader) {
    data = reader.value(SettingKeys.data)
    views = reader.value(SettingKeys.views)
    ingest = IngestSettings(from: &reader)
    log = LogSettings(from: &reader)
    compute = ComputeSettings(from: &reader)
    query = QuerySettings(from: &reader)
    auth = AuthSettings(from: &reader)
    tls = TLSSettings(from: &reader)
    mesh = MeshSettings(from: &reader)
    refuseOpenListeners(&reader)
  }

  private func refuseOpenListeners(_ reader: inout SettingsReader) {
    if !auth.isConfigured {
      let how =
        "and nobody is asked who they are: set auth.tokens, auth.jwks or auth.hs256_secret, or bind to 127.0.0.1, [::1] or localhost"
      reader.refuseOpen(SettingKeys.Ingest.listen, ingest.listen, how)
      reader.refuseOpen(SettingKeys.Query.listen, query.listen, how)
    }
    let how = "and has no auth of its own: bind to 127.0.0.1, [::1] or localhost, behind the mesh's sidecar"
    reader.refuseOpen(SettingKeys.Log.listen, log.listen, how)
    reader.refuseOpen(SettingKeys.Compute.listen, compute.listen, how)
  }
}

extension Settings {
  /// What is set but has no effect, in words for the log: nobody should believe otherwise.
  var notices: [String] {
    var notices: [String] = []
    if log.sync != .interval, log.syncInterval != SettingKeys.Log.syncInterval.defaultValue {
      notices.append("log.sync_interval is set, but log.sync is \(log.sync.rawValue): it has no effect")
    }
    for (name, listen, hosts) in [("ingest", ingest.listen, ingest.hosts), ("query", query.listen, query.hosts)]
    where !listen.isLoopback && hosts.isEmpty {
      notices.append("\(name).hosts is empty: \(name) is answered for by address only; set the names it is asked by")
    }
    if tls.files == nil, !ingest.listen.isLoopback || !query.listen.isLoopback {
      notices.append("tokens travel in plain text beyond this machine: set tls.certificate and tls.key")
    }
    return notices
  }
}

struct IngestSettings: Sendable, Hashable {
  var listen: ListenAddress
  var hosts: [String]
  var origins: [String]
  var serving: ServingLimits
  /// Inflated bytes of one WebSocket message or HTTP body.
  var messageBytesMax: Int
  var unackedMessagesMax: Int
  var reactors: Int
  var deviceConnectionsMax: Int
  /// Nil: as many as it can.
  var deviceEventsPerSecondMax: Int?
  var heartbeat: Duration
  var dedupWindow: Duration

  init(from reader: inout SettingsReader) {
    listen = reader.value(SettingKeys.Ingest.listen)
    hosts = reader.value(SettingKeys.Ingest.hosts)
    origins = reader.value(SettingKeys.Ingest.origins)
    serving = ServingLimits(from: &reader, SettingKeys.Ingest.serving)
    messageBytesMax = reader.value(SettingKeys.Ingest.messageBytesMax)
    unackedMessagesMax = reader.value(SettingKeys.Ingest.unackedMessagesMax)
    reactors = reader.value(SettingKeys.Ingest.reactors)
    deviceConnectionsMax = reader.value(SettingKeys.Ingest.deviceConnectionsMax)
    deviceEventsPerSecondMax = reader.value(SettingKeys.Ingest.deviceEventsPerSecondMax)
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
  var serving: ServingLimits
  var partitions: Int
  /// Whether the number was asked for: a log that has another keeps it otherwise.
  var isPartitionsGiven: Bool
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
    listen = reader.value(SettingKeys.Log.listen)
    serving = ServingLimits(from: &reader, SettingKeys.Log.serving)
    partitions = reader.value(SettingKeys.Log.partitions)
    isPartitionsGiven = reader.isGiven(SettingKeys.Log.partitions, partitions)
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
  var serving: ServingLimits
  /// 0: one per core.
  var workers: Int
  var checkpointInterval: Duration
  var memoryBytesMax: Int
  var changedRowsMax: Int
  var lateEventsMax: Int
  var keptCheckpoints: Int
  var keptCheckpointInterval: Duration
  var keptBytesMax: Int
  /// Holds the data folders of all compute instances on this machine.
  var neighbours: String?
  /// A log's identity.
  var acceptLog: String?

  init(from reader: inout SettingsReader) {
    listen = reader.value(SettingKeys.Compute.listen)
    serving = ServingLimits(from: &reader, SettingKeys.Compute.serving)
    workers = reader.value(SettingKeys.Compute.workers)
    checkpointInterval = reader.value(SettingKeys.Compute.checkpointInterval)
    memoryBytesMax = reader.value(SettingKeys.Compute.memoryBytesMax)
    changedRowsMax = reader.value(SettingKeys.Compute.changedRowsMax)
    lateEventsMax = reader.value(SettingKeys.Compute.lateEventsMax)
    keptCheckpoints = reader.value(SettingKeys.Compute.keptCheckpoints)
    keptCheckpointInterval = reader.value(SettingKeys.Compute.keptCheckpointInterval)
    keptBytesMax = reader.value(SettingKeys.Compute.keptBytesMax)
    neighbours = reader.value(SettingKeys.Compute.neighbours)
    acceptLog = reader.value(SettingKeys.Compute.acceptLog)
  }
}

struct QuerySettings: Sendable, Hashable {
  var listen: ListenAddress
  var hosts: [String]
  var origins: [String]
  var serving: ServingLimits
  /// Rows or events on one page.
  var rowsMax: Int
  var pinnedBytesMax: Int
  var pinnedLifetime: Duration
  var exportsMax: Int
  var exportTimeMax: Duration
  var streamsMax: Int
  var streamRowsMax: Int
  var streamBytesMax: Int
  var streamsBytesMax: Int
  var aggregateRowsMax: Int
  var sqlThreads: Int
  var sqlTimeout: Duration
  var sqlMemoryBytesMax: Int
  var sqlViewRowsMax: Int
  var sqlAnswerBytesMax: Int
  var sqlValueBytesMax: Int

  init(from reader: inout SettingsReader) {
    listen = reader.value(SettingKeys.Query.listen)
    hosts = reader.value(SettingKeys.Query.hosts)
    origins = reader.value(SettingKeys.Query.origins)
    let stallTimeout = reader.value(SettingKeys.Query.stallTimeout)
    serving = ServingLimits(from: &reader, SettingKeys.Query.serving, stallTimeout: stallTimeout)
    rowsMax = reader.value(SettingKeys.Query.rowsMax)
    pinnedBytesMax = reader.value(SettingKeys.Query.pinnedBytesMax)
    pinnedLifetime = reader.value(SettingKeys.Query.pinnedLifetime)
    exportsMax = reader.value(SettingKeys.Query.exportsMax)
    exportTimeMax = reader.value(SettingKeys.Query.exportTimeMax)
    streamsMax = reader.value(SettingKeys.Query.streamsMax)
    streamRowsMax = reader.value(SettingKeys.Query.streamRowsMax)
    streamBytesMax = reader.value(SettingKeys.Query.streamBytesMax)
    streamsBytesMax = reader.value(SettingKeys.Query.streamsBytesMax)
    aggregateRowsMax = reader.value(SettingKeys.Query.aggregateRowsMax)
    sqlThreads = reader.value(SettingKeys.Query.sqlThreads)
    sqlTimeout = reader.value(SettingKeys.Query.sqlTimeout)
    sqlMemoryBytesMax = reader.value(SettingKeys.Query.sqlMemoryBytesMax)
    sqlViewRowsMax = reader.value(SettingKeys.Query.sqlViewRowsMax)
    sqlAnswerBytesMax = reader.value(SettingKeys.Query.sqlAnswerBytesMax)
    sqlValueBytesMax = reader.value(SettingKeys.Query.sqlValueBytesMax)
  }
}

/// Who may do what. With none of `tokens`, `jwks` and `secret`, everybody may do everything, from this machine.
struct AuthSettings: Sendable, Hashable {
  var tokens: String?
  /// A path or a URL.
  var jwks: String?
  var jwksRefresh: Duration
  var secret: String?
  var audience: String
  var issuer: String?
  var sourcesClaim: String
  var leeway: Duration

  var isConfigured: Bool { tokens != nil || jwks != nil || secret != nil }

  /// Everybody may do everything.
  mutating func disable() {
    tokens = nil
    jwks = nil
    secret = nil
  }

  init(from reader: inout SettingsReader) {
    tokens = reader.value(SettingKeys.Auth.tokens)
    jwks = reader.value(SettingKeys.Auth.jwks)
    jwksRefresh = reader.value(SettingKeys.Auth.jwksRefresh)
    secret = reader.value(SettingKeys.Auth.secret)
    audience = reader.value(SettingKeys.Auth.audience)
    issuer = reader.value(SettingKeys.Auth.issuer)
    sourcesClaim = reader.value(SettingKeys.Auth.sourcesClaim)
    leeway = reader.value(SettingKeys.Auth.leeway)
  }
}

struct TLSSettings: Sendable, Hashable {
  struct Files: Sendable, Hashable {
    var certificate: String
    var key: String
    var clientAuthorities: String?
  }

  /// Nil: the listeners speak plain text.
  var files: Files?

  init(from reader: inout SettingsReader) {
    let certificate = reader.value(SettingKeys.TLS.certificate), key = reader.value(SettingKeys.TLS.key)
    let authorities = reader.value(SettingKeys.TLS.clientAuthorities)
    switch (certificate, key) {
    case (let certificate?, let key?): files = Files(certificate: certificate, key: key, clientAuthorities: authorities)
    case (nil, nil):
      if authorities != nil { reader.refuse(SettingKeys.TLS.clientAuthorities, "needs tls.certificate and tls.key beside it") }
    case (_?, nil): reader.refuse(SettingKeys.TLS.certificate, "needs tls.key beside it")
    case (nil, _?): reader.refuse(SettingKeys.TLS.key, "needs tls.certificate beside it")
    }
  }
}

struct MeshSettings: Sendable, Hashable {
  /// The local agent's HTTP API.
  var consul: AgentAddress
  var tokenFile: String?
  /// Nil: made of service, host name and port.
  var instance: String?
  var sidecarAddress: String
  /// 0: the service's own, as `SettingKeys.Mesh.sidecarPort` says.
  var sidecarPort: Int
  /// Nil: the process's own.
  var sidecarUser: UInt32?

  init(from reader: inout SettingsReader) {
    guard let agent = AgentAddress(parsing: reader.value(SettingKeys.Mesh.consul)) else {
      preconditionFailure("the setting's value has been checked")
    }
    consul = agent
    tokenFile = reader.value(SettingKeys.Mesh.tokenFile)
    instance = reader.value(SettingKeys.Mesh.instance)
    sidecarAddress = reader.value(SettingKeys.Mesh.sidecarAddress)
    sidecarPort = reader.value(SettingKeys.Mesh.sidecarPort)
    sidecarUser = reader.value(SettingKeys.Mesh.sidecarUser).flatMap { LocalUser.number(of: $0) }
  }
}
