import Compute
import Events
import Ingest
import Log
import Query
import Serving

/// The configuration a service runs with: every value present and within its bounds. Made without a reader, every value is its
/// default: each stands once, here or in what its module is told.
struct Settings: Sendable, Hashable {
  /// The folder of the log and the views' state; relative to the working directory.
  var data = "./data"
  /// The file that defines the views.
  var views = "config/views.yaml"
  var ingest = IngestConfiguration()
  var log = LogSettings()
  var compute = ComputeSettings()
  var query = QueryConfiguration()
  var auth = AuthSettings()
  var tls = TLSSettings()
  var mesh = MeshSettings()

  init() {}

  /// Reads every key; `reader` records faults, and the default stands in.
  init(from reader: inout SettingsReader) {
    for binding in SettingKeys.bindings { binding.read(&reader, &self) }
    // An event that compute calls ahead is one that ingest calls so.
    ingest.clockAheadMax = compute.configuration.clockAheadMax
    // Only query's readers have a time of their own.
    ingest.serving.stallTimeout = ingest.serving.requestTimeout
    log.serving.stallTimeout = log.serving.requestTimeout
    compute.serving.stallTimeout = compute.serving.requestTimeout
    log.configuration.isPartitionCountFixed = reader.isGiven(
      "log.partitions", isDefault: log.configuration.partitions == LogSettings().configuration.partitions)
    tls.refuseHalves(&reader)
    refuseOpenListeners(&reader)
  }

  private func refuseOpenListeners(_ reader: inout SettingsReader) {
    if !auth.isConfigured {
      let how =
        "and nobody is asked who they are: set auth.tokens, auth.jwks or auth.hs256_secret, or bind to 127.0.0.1, [::1] or localhost"
      reader.refuseOpen("ingest.listen", ingest.listen, how)
      reader.refuseOpen("query.listen", query.listen, how)
    }
    let how = "and has no auth of its own: bind to 127.0.0.1, [::1] or localhost, behind the mesh's sidecar"
    reader.refuseOpen("log.listen", log.listen, how)
    reader.refuseOpen("compute.listen", compute.listen, how)
  }
}

extension Settings {
  /// Settings without effect, in words for the log, so that nobody believes otherwise.
  var notices: [String] {
    var notices: [String] = []
    if log.configuration.syncChoice != .interval, log.syncInterval != LogSettings().syncInterval {
      notices.append("log.sync_interval is set, but log.sync is \(log.configuration.syncChoice.rawValue): it has no effect")
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

/// When an append counts as durable, as the file says it.
enum SyncChoice: String, Sendable, CaseIterable {
  case always
  case interval
  case never
}

/// How a batch's payload is stored, as the file says it.
enum CodecChoice: String, Sendable, CaseIterable {
  case none
  case deflate
}

extension LogConfiguration {
  /// `interval` is at `LogSettings.syncInterval`.
  var syncChoice: SyncChoice {
    get {
      switch sync {
      case .always: .always
      case .interval: .interval
      case .never: .never
      }
    }
    set {
      sync =
        switch newValue {
        case .always: .always
        case .interval: .interval(LogSettings().syncInterval)
        case .never: .never
        }
    }
  }

  var codecChoice: CodecChoice {
    get {
      switch codec {
      case .none: .none
      case .deflate: .deflate
      }
    }
    set {
      codec =
        switch newValue {
        case .none: .none
        case .deflate: .deflate
        }
    }
  }
}

extension ComputeConfiguration {
  var acceptedLogText: String? {
    get { acceptedLog?.description }
    set { acceptedLog = newValue.flatMap { LogIdentity(parsing: $0) } }
  }
}

extension IngestConfiguration {
  var listen: ListenAddress {
    get { ListenAddress(host: host, port: port) }
    set { (host, port) = (newValue.host, newValue.port) }
  }
}

extension QueryConfiguration {
  var listen: ListenAddress {
    get { ListenAddress(host: host, port: port) }
    set { (host, port) = (newValue.host, newValue.port) }
  }
}

struct LogSettings: Sendable, Hashable {
  var listen = ListenAddress(host: "127.0.0.1", port: 7000)
  var serving = ServingLimits()
  /// All but its folder.
  var configuration = LogConfiguration(directory: "")
  var syncInterval = Duration.milliseconds(5)
  var retentionInterval = Duration.seconds(30)
}

struct ComputeSettings: Sendable, Hashable {
  var listen = ListenAddress(host: "127.0.0.1", port: 8000)
  var serving = ServingLimits()
  /// All but its folder.
  var configuration = ComputeConfiguration(directory: "")
}

/// The access rules. With none of `tokens`, `jwks` and `secret`, everybody may do everything, from this machine.
struct AuthSettings: Sendable, Hashable {
  var tokens: String?
  /// A path or a URL.
  var jwks: String?
  var jwksRefresh = Duration.seconds(300)
  var secret: String?
  var audience = "penstock"
  var issuer: String?
  var sourcesClaim = "sources"
  var leeway = Duration.seconds(5)

  var isConfigured: Bool { tokens != nil || jwks != nil || secret != nil }

  /// Everybody may do everything.
  mutating func disable() {
    tokens = nil
    jwks = nil
    secret = nil
  }
}

struct TLSSettings: Sendable, Hashable {
  struct Files: Sendable, Hashable {
    var certificate: String
    var key: String
    var clientAuthorities: String?
  }

  var certificate: String?
  var key: String?
  var clientAuthorities: String?

  /// Nil: the listeners speak plain text.
  var files: Files? {
    guard let certificate, let key else { return nil }
    return Files(certificate: certificate, key: key, clientAuthorities: clientAuthorities)
  }

  fileprivate func refuseHalves(_ reader: inout SettingsReader) {
    switch (certificate, key) {
    case (_?, _?): break
    case (nil, nil):
      if clientAuthorities != nil { reader.refuse("tls.client_ca", "needs tls.certificate and tls.key beside it") }
    case (_?, nil): reader.refuse("tls.certificate", "needs tls.key beside it")
    case (nil, _?): reader.refuse("tls.key", "needs tls.certificate beside it")
    }
  }
}

struct MeshSettings: Sendable, Hashable {
  /// Where the local agent's HTTP API is, as an `AgentAddress` is written.
  var agent = "127.0.0.1:8500"
  var tokenFile: String?
  /// Nil: made of service, host name and port.
  var instance: String?
  var sidecarAddress = "127.0.0.1"
  /// 0: the service's own, as the key `mesh.sidecar_port` says.
  var sidecarPort = 0
  /// A name or a number; nil: the process's own.
  var sidecarUserName: String?

  var consul: AgentAddress {
    guard let address = AgentAddress(parsing: agent) else { preconditionFailure("the setting's value has been checked") }
    return address
  }

  var sidecarUser: UInt32? { sidecarUserName.flatMap { LocalUser.number(of: $0) } }
}
