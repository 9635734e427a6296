/// Turns the texts of all layers into values, and keeps what is wrong with them.
struct SettingsReader {
  /// One key as it stands: what `penstock config check` prints.
  struct Entry: Hashable, Sendable {
    var key: String
    /// Masked where secret; nil stands for `null`.
    var value: String?
    var origin: SettingOrigin
  }

  private let texts: [String: SettingText]
  private(set) var entries: [Entry] = []
  private(set) var problems: [ConfigurationProblem] = []

  init(texts: [String: SettingText]) { self.texts = texts }

  /// The value given last for a key, or its default. A text that is no value of the key is recorded, and the default stands in.
  mutating func value<Value>(_ setting: Setting<Value>) -> Value {
    guard let given = texts[setting.name] else {
      record(setting, setting.defaultValue, .builtIn)
      return setting.defaultValue
    }
    if setting.isSecret, case .flag(let flag) = given.origin {
      let variable = SettingDeclaration(setting).environmentVariable
      problems.append(
        ConfigurationProblem(
          origin: .flag(flag), detail: "\(setting.name): a flag shows in ps: name the secret's file in \(variable)_FILE"))
      return setting.defaultValue
    }
    guard let value = setting.parse(given.text) else {
      // Even a secret that cannot be one is not repeated.
      let shown = setting.isSecret ? "the value given" : given.text.map { "'\($0.prefix(64))'" } ?? "null"
      problems.append(
        ConfigurationProblem(origin: given.origin, detail: "\(setting.name): expected \(setting.expected), not \(shown)"))
      return setting.defaultValue
    }
    record(setting, value, given.origin)
    return value
  }

  /// Whether somebody asked for the value: a file that spells out the default, as the one that comes with the program does, did
  /// not.
  func isGiven<Value: Equatable>(_ setting: Setting<Value>, _ value: Value) -> Bool {
    switch texts[setting.name]?.origin {
    case nil, .builtIn: false
    case .file: value != setting.defaultValue
    case .environment, .environmentFile, .flag: true
    }
  }

  /// Refuses an address that others can reach where nobody is asked who they are.
  mutating func refuseOpen(_ setting: Setting<ListenAddress>, _ address: ListenAddress, _ whatToDo: String) {
    guard !address.isLoopback else { return }
    problems.append(
      ConfigurationProblem(
        origin: texts[setting.name]?.origin,
        detail: "\(setting.name): \(address.host) can be reached from beyond this machine, \(whatToDo)"))
  }

  /// Records what is wrong with a key whose value is one, in the light of others.
  mutating func refuse<Value>(_ setting: Setting<Value>, _ detail: String) {
    problems.append(ConfigurationProblem(origin: texts[setting.name]?.origin, detail: "\(setting.name): \(detail)"))
  }

  private mutating func record<Value>(_ setting: Setting<Value>, _ value: Value, _ origin: SettingOrigin) {
    let text = setting.format(value)
    entries.append(Entry(key: setting.name, value: setting.isSecret && text != nil ? "********" : text, origin: origin))
  }
}
