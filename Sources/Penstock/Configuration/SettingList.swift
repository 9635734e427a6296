import Serving

/// One key and the value of `Settings` that it sets.
struct SettingBinding: Sendable {
  let declaration: SettingDeclaration
  let read: @Sendable (inout SettingsReader, inout Settings) -> Void
}

/// Keys in their order, each bound to its value.
struct SettingList {
  private let defaults = Settings()
  private(set) var bindings: [SettingBinding] = []

  /// - Parameters:
  ///   - path: Where the value goes; what stands there in `Settings()` is the default.
  ///   - setting: The key's name and the values it takes; the default is one of them.
  mutating func bind<Value>(_ path: any WritableKeyPath<Settings, Value> & Sendable, _ setting: Setting<Value>) {
    bind(setting, default: defaults[keyPath: path]) { $0[keyPath: path] = $1 }
  }

  private mutating func bind<Value>(
    _ setting: Setting<Value>, default defaultValue: Value, set: @escaping @Sendable (inout Settings, Value) -> Void
  ) {
    precondition(setting.parse(setting.format(defaultValue)) != nil, "\(setting.name): the default is out of bounds")
    bindings.append(
      SettingBinding(declaration: SettingDeclaration(setting, default: defaultValue)) { reader, settings in
        set(&settings, reader.value(setting, default: defaultValue))
      })
  }

  /// The keys that every service with connections has in its section.
  mutating func bindServing(_ section: String, _ path: any WritableKeyPath<Settings, ServingLimits> & Sendable) {
    func bind<Value>(_ limit: any WritableKeyPath<ServingLimits, Value> & Sendable, _ setting: Setting<Value>) {
      self.bind(setting, default: defaults[keyPath: path][keyPath: limit]) { $0[keyPath: path][keyPath: limit] = $1 }
    }
    bind(
      \.connectionsMax,
      .count(
        "\(section).connections_max", in: 1...1_000_000,
        help:
          "Connections open at once; at the bound the one that is idle longest is closed for the next, and where none is idle the next is answered with 503."
      ))
    bind(
      \.connectionsPerAddressMax,
      .optionalCount(
        "\(section).connections_per_address_max", in: 1...1_000_000,
        help:
          "Connections of one address (of IPv6, one network of 64 bits), likewise, and with 429; behind a proxy or a sidecar all are of one."
      ))
    bind(
      \.healthConnections,
      .count(
        "\(section).health_connections", in: 0...1024,
        help: "Connections beyond those, kept for /livez, /readyz, /health and /metrics, and to say 503 or 429 on."))
    bind(
      \.requestTimeout,
      .duration(
        "\(section).request_timeout", in: .milliseconds(100) ... .seconds(3600),
        help: "Time for a request's head, the first from the connection's beginning, and for its body; slower ones are cut off."))
    bind(
      \.idleTimeout,
      .duration(
        "\(section).idle_timeout", in: .milliseconds(100) ... .seconds(3600),
        help: "Time from an answer to the first byte of the next request on the same connection, after which it is closed."))
  }
}

extension Setting where Value == [String] {
  /// A list in the file, or texts separated by commas; `[]`, the default, is empty.
  /// - Parameters:
  ///   - elements: The kind of the elements, for messages.
  ///   - isValid: Whether a text is such an element.
  static func list(
    _ name: String, of elements: String, help: String, isValid: @escaping @Sendable (String) -> Bool
  ) -> Self {
    Setting(
      name: name, expected: "a list of \(elements)", help: help, isSecret: false,
      parse: { text in
        guard let text, text != "[]" else { return [] }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
          String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        return parts.count <= 256 && parts.allSatisfy(isValid) ? parts : nil
      },
      format: { $0.isEmpty ? "[]" : $0.joined(separator: ", ") })
  }

  static func hosts(_ section: String) -> Self {
    list(
      "\(section).hosts", of: "host names and addresses, without ports",
      help:
        "Names this service is asked by, besides the address it listens on and those of loopback; a request for another is answered with 403."
    ) { HostRules.isHost($0) }
  }

  static func origins(_ section: String) -> Self {
    list(
      "\(section).origins", of: "origins, as https://app.example.org or http://localhost:3000",
      help:
        "Origins whose pages may ask this service in a browser (CORS), besides its own; a page of another is answered with 403."
    ) { WebOrigin($0) != nil }
  }
}
