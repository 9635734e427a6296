import Foundation
import Testing

@testable import Penstock

private func load(
  yaml: String? = nil, environment: [String: String] = [:], flags: [(key: String, text: String, flag: String)] = []
) throws -> ConfigurationLoader.Loaded {
  try withFile(yaml ?? "") { path in
    try ConfigurationLoader(configPath: path, environment: environment, flags: flags).load()
  }
}

/// The problems of a load that has to fail; `FILE` stands for the file's path.
private func problems(
  yaml: String = "", environment: [String: String] = [:], flags: [(key: String, text: String, flag: String)] = [],
  sourceLocation: SourceLocation = #_sourceLocation
) throws -> [String] {
  try withFile(yaml) { path in
    let error = #expect(throws: ConfigurationError.self, sourceLocation: sourceLocation) {
      try ConfigurationLoader(configPath: path, environment: environment, flags: flags).load()
    }
    return (error?.problems ?? []).map { "\($0)".replacing(path, with: "FILE") }
  }
}

@Suite struct ConfigurationTests {
  @Test("without any layer, every key has its default, and says so")
  func defaults() throws {
    let loaded = try load()
    #expect(loaded.entries.map(\.key) == SettingKeys.all.map(\.name))
    #expect(loaded.entries.map(\.value) == SettingKeys.all.map(\.defaultText))
    #expect(loaded.entries.allSatisfy { $0.origin == .builtIn })
    #expect(loaded.settings.ingest.listen == ListenAddress(host: "127.0.0.1", port: 4000))
    #expect(loaded.settings.log.configuration.segmentBytesMax == 64 << 20)
    #expect(loaded.settings.log.configuration.retention.age == nil)
    #expect(loaded.settings.compute.configuration.checkpointInterval == .seconds(1))
  }

  @Test("a later layer goes before an earlier one, key by key")
  func layers() throws {
    let loaded = try load(
      yaml: "data: from-file\nviews: from-file\nlog:\n  sync: never\n  partitions: 2\n  retention:\n    age: 7d\n",
      environment: ["PENSTOCK_LOG__SYNC": "interval", "PENSTOCK_LOG__RETENTION__AGE": "1h30m", "PENSTOCK_VIEWS": "from-env"],
      flags: [("views", "from-flag", "--views")])
    #expect(loaded.settings.data == "from-file")
    #expect(loaded.settings.views == "from-flag")
    #expect(loaded.settings.log.configuration.partitions == 2)
    #expect(loaded.settings.log.configuration.syncChoice == .interval)
    #expect(loaded.settings.log.configuration.retention.age == .seconds(5400))
    #expect(loaded.settings.log.configuration.codecChoice == .none)

    let origins = Dictionary(uniqueKeysWithValues: loaded.entries.map { ($0.key, $0.origin) })
    #expect(origins["views"] == .flag("--views"))
    #expect(origins["log.sync"] == .environment(variable: "PENSTOCK_LOG__SYNC"))
    #expect(origins["log.codec"] == .builtIn)
    guard case .file(_, let line)? = origins["log.partitions"] else {
      Issue.record("log.partitions came from \(String(describing: origins["log.partitions"]))")
      return
    }
    #expect(line == 5)
  }

  @Test("every key can be set to its default in the file, the environment and by flag", arguments: SettingKeys.all.map(\.name))
  func everyKeyEveryLayer(key: String) throws {
    let declaration = try #require(SettingKeys.all.first { $0.name == key })
    let text = declaration.defaultText ?? "null"
    let parts = key.split(separator: ".")
    let yaml = parts.enumerated().map { String(repeating: "  ", count: $0) + $1 + ":" }.joined(separator: "\n") + " \(text)\n"
    let expected = try load().settings

    var layers = [try load(yaml: yaml), try load(environment: [declaration.environmentVariable: text])]
    // A secret is not taken as a flag.
    if !declaration.isSecret { layers.append(try load(flags: [(key, text, "--set")])) }
    for (index, loaded) in layers.enumerated() {
      let entry = try #require(loaded.entries.first { $0.key == key })
      #expect(entry.origin != .builtIn, "layer \(index)")
      #expect(entry.value == declaration.defaultText, "layer \(index)")
      var settings = loaded.settings
      // That somebody asked for it is all that differs.
      if key == "log.partitions" {
        settings.log.configuration.isPartitionCountFixed = expected.log.configuration.isPartitionCountFixed
      }
      #expect(settings == expected, "layer \(index)")
    }
  }

  @Test("a log's number of partitions is asked for by flag and environment, and by a file that has another than the default")
  func partitionsGiven() throws {
    #expect(try !load().settings.log.configuration.isPartitionCountFixed)
    #expect(try !load(yaml: "log:\n  partitions: 8\n").settings.log.configuration.isPartitionCountFixed)
    #expect(try load(yaml: "log:\n  partitions: 4\n").settings.log.configuration.isPartitionCountFixed)
    #expect(try load(environment: ["PENSTOCK_LOG__PARTITIONS": "8"]).settings.log.configuration.isPartitionCountFixed)
    #expect(try load(flags: [("log.partitions", "8", "--set")]).settings.log.configuration.isPartitionCountFixed)
  }

  @Test("everything that is wrong is told at once, in the order of layers and lines")
  func allProblemsAtOnce() throws {
    let found = try problems(
      yaml: """
        log:
          sync: sometimes
          partitons: 4
          retention: 7d
        qery:
          listen: 127.0.0.1:1
        ingest:
          message_bytes_max: 17MiB
          heartbeat: [1s]
        """,
      environment: ["PENSTOCK_COMPUTE__WORKERS": "many", "PENSTOCK_LOG__SINK": "x"],
      flags: [("log.segment_bytes_max", "1KiB", "--set")])
    #expect(
      found == [
        "FILE:2: log.sync: expected one of always, interval, never, not 'sometimes'",
        "FILE:3: unknown key 'log.partitons': did you mean 'log.partitions'?",
        "FILE:4: log.retention: expected a section of keys, not '7d'",
        "FILE:5: unknown key 'qery': did you mean 'query'?",
        "FILE:8: ingest.message_bytes_max: expected a size from 1KiB to 16MiB, as 64KiB or 1MiB, not '17MiB'",
        "FILE:9: ingest.heartbeat: expected a value, not a list",
        "env PENSTOCK_COMPUTE__WORKERS: compute.workers: expected a whole number from 0 to 256, not 'many'",
        "env PENSTOCK_LOG__SINK: unknown key 'log.sink': did you mean 'log.sync'?",
        "flag --set: log.segment_bytes_max: expected a size from 1MiB to 4GiB, as 64KiB or 1MiB, not '1KiB'",
      ])
  }

  @Test(
    "bounds are part of the range, and one beyond them is not",
    arguments: [
      ("log.partitions", ["1", "1024"], ["0", "1025", "-1", "1.5", "8x", "", "1_0", "٣"]),
      ("log.segment_bytes_max", ["1MiB", "4GiB", "1048576"], ["1048575", "4294967297", "1mib", "-1MiB", "9223372036854775808"]),
      ("compute.checkpoint_interval", ["10ms", "10m", "1m30s"], ["9ms", "10m1ns", "5", "s", "1s1m", "1s1s", "-1s", "1.5s"]),
      ("log.retention.age", ["null", "1m", "365d"], ["59s", "never", "300000000000d"]),
      ("log.retention.bytes", ["null", "1MiB"], ["0", "-1"]),
      ("log.codec", ["none", "deflate"], ["None", "zstd", "null"]),
      (
        "query.listen", ["127.0.0.1:0", "[::1]:65535", "localhost:1", "127.9.9.9:1"],
        ["127.0.0.1", ":1", "::1:1", "127.0.0.1:65536", "127.0.0.1:-1", "a b:1", "null"]
      ),
    ])
  func bounds(key: String, accepted: [String], refused: [String]) throws {
    for text in accepted { #expect(throws: Never.self, "\(key)=\(text)") { try load(flags: [(key, text, "--set")]) } }
    for text in refused {
      let error = #expect(throws: ConfigurationError.self, "\(key)=\(text)") { try load(flags: [(key, text, "--set")]) }
      #expect(error?.problems.count == 1)
      #expect(error?.problems.first?.detail.hasPrefix("\(key): expected ") == true)
    }
  }

  @Test(
    "an address others can reach is refused, with what to set",
    arguments: [
      "0.0.0.0:4000", "[::]:4000", "192.168.1.1:4000", "example.org:4000", "128.0.0.1:1", "[::ffff:10.0.0.1]:1",
      "localhost.example:1",
      "127.0.0.1.example:1",
    ])
  func beyondLoopback(address: String) throws {
    for section in ["ingest", "log", "compute", "query"] {
      let found = try problems(environment: ["PENSTOCK_\(section.uppercased())__LISTEN": address])
      #expect(found.count == 1)
      #expect(found.first?.contains("\(section).listen: ") == true)
      #expect(found.first?.contains("bind to 127.0.0.1, [::1] or localhost") == true)
      let namesAuth = found.first?.contains("set auth.tokens, auth.jwks or auth.hs256_secret") == true
      #expect(namesAuth == ["ingest", "query"].contains(section))
      // Tokens open the devices' and analysts' listeners, and no other.
      let withAuth = ["PENSTOCK_\(section.uppercased())__LISTEN": address, "PENSTOCK_AUTH__TOKENS": "tokens.ndjson"]
      if namesAuth {
        #expect(throws: Never.self) { try load(environment: withAuth) }
      } else {
        #expect(try problems(environment: withAuth).count == 1)
      }
    }
  }

  @Test(
    "loopback's addresses are accepted",
    arguments: ["127.0.0.1:0", "127.1.2.3:5", "[::1]:5", "LOCALHOST:5", "[::ffff:127.0.0.1]:5"])
  func loopback(address: String) throws {
    #expect(try load(flags: [("query.listen", address, "--set")]).settings.query.listen.isLoopback)
  }

  @Test("a variable ending in _FILE reads its file, less one newline")
  func environmentFile() throws {
    try withFile("interval\n") { path in
      let loaded = try load(environment: ["PENSTOCK_LOG__SYNC_FILE": path])
      #expect(loaded.settings.log.configuration.syncChoice == .interval)
      #expect(
        loaded.entries.first { $0.key == "log.sync" }?.origin
          == .environmentFile(variable: "PENSTOCK_LOG__SYNC_FILE", path: path))
      #expect(
        try problems(environment: ["PENSTOCK_LOG__SYNC_FILE": path, "PENSTOCK_LOG__SYNC": "never"])
          == ["env PENSTOCK_LOG__SYNC_FILE (\(path)): PENSTOCK_LOG__SYNC is set too: set only one of the two"])
      #expect(
        try problems(environment: ["PENSTOCK_LOG__SYNC_FILE": path + ".gone"])
          == ["env PENSTOCK_LOG__SYNC_FILE (\(path).gone): log.sync: no such file"])
    }
  }

  @Test("a secret is masked, whether it is right or wrong")
  func secrets() throws {
    let setting = Setting<String?>.secret("auth.token", help: "A token.")
    var reader = SettingsReader(texts: ["auth.token": SettingText(text: "hunter2", origin: .environment(variable: "X"))])
    #expect(reader.value(setting, default: nil) == "hunter2")
    #expect(reader.entries.map(\.value) == ["********"])

    let tooLong = String(repeating: "hunter2", count: 1000)
    reader = SettingsReader(texts: ["auth.token": SettingText(text: tooLong, origin: .environment(variable: "X"))])
    #expect(reader.value(setting, default: nil) == nil)
    #expect(reader.problems.count == 1)
    #expect(!"\(reader.problems)".contains("hunter2"))
  }

  @Test("a secret is not taken as a flag, which ps would show")
  func secretFlag() throws {
    let secret = String(repeating: "hunter2", count: 10)
    let error = #expect(throws: ConfigurationError.self) { try load(flags: [("auth.hs256_secret", secret, "--set")]) }
    #expect(error?.problems.count == 1)
    #expect(error?.description.contains("PENSTOCK_AUTH__HS256_SECRET_FILE") == true)
    #expect(error?.description.contains("hunter2") == false)
    try withFile(secret + "\n") { path in
      let loaded = try load(environment: ["PENSTOCK_AUTH__HS256_SECRET_FILE": path])
      #expect(loaded.settings.auth.secret == secret)
      #expect(loaded.entries.first { $0.key == "auth.hs256_secret" }?.value == "********")
    }
  }

  @Test("TLS takes a certificate and its key, or neither; keys in plain text come from this machine only")
  func security() throws {
    #expect(try problems(flags: [("tls.certificate", "a.pem", "--set")]).count == 1)
    #expect(try problems(flags: [("tls.key", "a.pem", "--set")]).count == 1)
    #expect(try problems(flags: [("tls.client_ca", "a.pem", "--set")]).count == 1)
    #expect(try load(flags: [("tls.certificate", "a.pem", "--set"), ("tls.key", "b.pem", "--set")]).settings.tls.files != nil)
    for url in ["https://issuer.example/keys", "http://127.0.0.1:9/keys", "http://localhost/keys", "keys.json"] {
      #expect(throws: Never.self, "\(url)") { try load(flags: [("auth.jwks", url, "--set")]) }
    }
    for url in ["http://issuer.example/keys", "http://10.0.0.1:9/keys", "http://127.0.0.1.example/keys"] {
      #expect(try problems(flags: [("auth.jwks", url, "--set")]).count == 1, "\(url)")
    }
  }

  @Test("variables of others are left alone; a key with single underscores is told of")
  func foreignVariables() throws {
    #expect(throws: Never.self) {
      try load(environment: [
        "PENSTOCK_LOG_SERVICE_HOST": "10.0.0.1", "PENSTOCK_LOG_LEVEL": "debug", "PENSTOCK_KILLS": "3", "PATH": "/bin",
        "LOG__SYNC": "x",
      ])
    }
    #expect(
      try problems(environment: ["PENSTOCK_LOG_SYNC": "never"])
        == ["env PENSTOCK_LOG_SYNC: sections are set off by two underscores: set PENSTOCK_LOG__SYNC"])
  }

  @Test("the default file may be missing; one that is named may not")
  func missingFile() throws {
    let error = #expect(throws: ConfigurationError.self) { try ConfigurationLoader(configPath: "/no/such/file.yaml").load() }
    #expect(error.map { "\($0)" } == "configuration: flag --config: /no/such/file.yaml: no such file")
  }

  @Test(
    "what is no YAML, or of another shape, is told with its line",
    arguments: [
      ("log:\n  sync: [always\n", "FILE:3: not YAML: "), ("a: b: c\n", "FILE:1: not YAML: "),
      ("data: x\nviews: y\ndata: z\n", "FILE:1: given twice: data"), ("- log\n", "FILE:1: expected a value, not a list"),
      ("word\n", "FILE:1: expected sections and keys"), ("data:\n  dir: x\n", "FILE:2: data: expected one value, not a section"),
      ("log.sync: never\n", "FILE:1: expected the name of a key, without dots"),
      ("log: always\n", "FILE:1: log: expected a section of keys, not 'always'"),
      ("query:\n  sync: never\n", "FILE:2: unknown key 'query.sync': did you mean 'log.sync'?"),
      ("log:\n  wholly_unlike_any_other: 1\n", "FILE:2: unknown key 'log.wholly_unlike_any_other'; `penstock config check`"),
    ])
  func malformed(yaml: String, expected: String) throws {
    let found = try problems(yaml: yaml)
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix(expected) == true, "\(found)")
  }

  @Test(
    "empty files and sections leave the defaults",
    arguments: ["", "# nothing\n", "log:\nquery:\n", "log: {}\n", "log:\n  retention:\n"])
  func empty(yaml: String) throws {
    #expect(try load(yaml: yaml).settings == load().settings)
  }

  @Test("what is set but has no effect is told, and nothing else is")
  func notices() throws {
    #expect(try load().settings.notices == [])
    #expect(try load(flags: [("log.retention.age", "7d", "--set")]).settings.notices == [])
    #expect(try load(flags: [("log.sync_interval", "9ms", "--set")]).settings.notices.count == 1)
    let interval = try load(flags: [("log.sync_interval", "9ms", "--set"), ("log.sync", "interval", "--set")])
    #expect(interval.settings.notices == [])
  }

  @Test("the file in config/ holds every key at its default")
  func shippedFile() throws {
    let path = repositoryRoot + "/config/penstock.yaml"
    let loaded = try ConfigurationLoader(configPath: path).load()
    #expect(loaded.settings == (try load().settings))
    for entry in loaded.entries { #expect(entry.origin != .builtIn, "\(entry.key) is missing") }
  }

  @Test("docs/configuration.md holds the keys as declared; `penstock config reference` prints them")
  func documentation() throws {
    let page = try String(contentsOfFile: repositoryRoot + "/docs/configuration.md", encoding: .utf8)
    #expect(page.hasSuffix(settingsReference(SettingKeys.all)))
  }
}

@Suite struct QuantityTests {
  @Test(
    "durations are read and written alike",
    arguments: [
      ("500ms", 500_000_000), ("5s", 5_000_000_000), ("1h30m", 5_400_000_000_000), ("7d", 604_800_000_000_000), ("1us2ns", 1002),
      ("0s", 0),
    ]
      as [(String, Int64)])
  func durations(text: String, nanoseconds: Int64) {
    #expect(Duration(settingText: text) == .nanoseconds(nanoseconds))
    #expect(Duration.nanoseconds(nanoseconds).settingText == text)
  }

  @Test(
    "sizes are read and written alike",
    arguments: [
      ("64KiB", 65_536), ("1MiB", 1 << 20), ("4GiB", 4 << 30), ("3TiB", 3 << 40), ("1000B", 1000), ("0B", 0),
      ("1025KiB", 1_049_600),
    ])
  func sizes(text: String, bytes: Int) {
    #expect(ByteCount(parsing: text)?.bytes == bytes)
    #expect(ByteCount(bytes).description == text)
  }
}
