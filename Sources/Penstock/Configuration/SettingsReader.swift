/// Turns the texts of all layers into values, and records their faults.
struct SettingsReader {
  /// One key and its value, for `penstock config check`.
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

  /// The last value given for a key, or its default. A malformed text is recorded, and the default stands in.
  mutating func value<Value>(_ setting: Setting<Value>, default defaultValue: Value) -> Value {
    guard let given = texts[setting.name] else {
      record(setting, defaultValue, .builtIn)
      return defaultValue
    }
    if setting.isSecret, case .flag(let flag) = given.origin {
      let variable = SettingDeclaration(setting, default: defaultValue).environmentVariable
      problems.append(
        ConfigurationProblem(
          origin: .flag(flag), detail: "\(setting.name): a flag shows in ps: name the secret's file in \(variable)_FILE"))
      return defaultValue
    }
    guard let value = setting.parse(given.text) else {
      // Even a malformed secret is not repeated.
      let shown = setting.isSecret ? "the value given" : given.text.map { "'\($0.prefix(64))'" } ?? "null"
      problems.append(
        ConfigurationProblem(origin: given.origin, detail: "\(setting.name): expected \(setting.expected), not \(shown)"))
      return defaultValue
    }
    record(setting, value, given.origin)
    return value
  }

  /// Whether the user set the value: a file that spells out the default, like the one that comes with the program, did not.
  func isGiven(_ key: String, isDefault: Bool) -> Bool {
    switch texts[key]?.origin {
    case nil, .builtIn: false
    case .file: !isDefault
    case .environment, .environmentFile, .flag: true
    }
  }

  /// Refuses an address that others can reach where callers are not authenticated.
  mutating func refuseOpen(_ key: String, _ address: ListenAddress, _ whatToDo: String) {
    guard !address.isLoopback else { return }
    refuse(key, "\(address.host) can be reached from beyond this machine, \(whatToDo)")
  }

  /// Records a fault of a key whose value is valid alone, but not with other keys' values.
  mutating func refuse(_ key: String, _ detail: String) {
    problems.append(ConfigurationProblem(origin: texts[key]?.origin, detail: "\(key): \(detail)"))
  }

  private mutating func record<Value>(_ setting: Setting<Value>, _ value: Value, _ origin: SettingOrigin) {
    let text = setting.format(value)
    entries.append(Entry(key: setting.name, value: setting.isSecret && text != nil ? "********" : text, origin: origin))
  }
}
