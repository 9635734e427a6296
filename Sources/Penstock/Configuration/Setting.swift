/// One key of the configuration, declared once: its name, bounds and meaning. Reading, `penstock config check` and
/// docs/configuration.md all follow from it.
struct Setting<Value: Sendable>: Sendable {
  /// The name in the file, sections joined by dots: `log.segment_bytes_max`.
  let name: String
  /// Ends the sentence "expected …": the kind and its bounds.
  let expected: String
  /// The setting's effect, in one sentence.
  let help: String
  let isSecret: Bool
  /// The value of a text, nil when it is malformed; `null` and the empty text come as nil.
  let parse: @Sendable (String?) -> Value?
  let format: @Sendable (Value) -> String?
}

/// A `Setting` whose value's type does not matter.
struct SettingDeclaration: Sendable {
  let name: String
  /// Nil stands for `null`.
  let defaultText: String?
  let expected: String
  let help: String
  let isSecret: Bool
  /// Whether the file may give a list for it.
  let isList: Bool
  /// `PENSTOCK_LOG__RETENTION__AGE`
  let environmentVariable: String

  init<Value>(_ setting: Setting<Value>, default defaultValue: Value) {
    name = setting.name
    defaultText = setting.format(defaultValue)
    expected = setting.expected
    help = setting.help
    isSecret = setting.isSecret
    isList = Value.self == [String].self
    environmentVariable = "PENSTOCK_" + setting.name.uppercased().split(separator: ".").joined(separator: "__")
  }
}

extension Setting where Value == String {
  static func path(_ name: String, help: String) -> Self {
    Setting(
      name: name, expected: "a path, relative to the working directory or absolute", help: help,
      isSecret: false, parse: { $0?.isEmpty == false ? $0 : nil }, format: { $0 })
  }
}

extension Setting where Value == String {
  /// - Parameter isValid: Whether a text of 1 to 1024 bytes is a value.
  static func text(
    _ name: String, expected: String = "a text of 1 to 1024 bytes", help: String,
    isValid: @escaping @Sendable (String) -> Bool = { _ in true }
  ) -> Self {
    Setting(
      name: name, expected: expected, help: help, isSecret: false,
      parse: { $0.flatMap { (1...1024).contains($0.utf8.count) && isValid($0) ? $0 : nil } }, format: { $0 })
  }
}

extension Setting where Value == String? {
  /// A value that is masked wherever it is shown. Set it by `…_FILE`, so that `ps` and the environment do not carry it.
  static func secret(_ name: String, bytes: ClosedRange<Int> = 1...4096, help: String) -> Self {
    Setting(
      name: name, expected: "null, or a secret of \(bytes.lowerBound) to \(bytes.upperBound) bytes",
      help: help,
      isSecret: true, parse: optional { bytes.contains($0.utf8.count) }, format: { $0 })
  }

  static func optionalPath(_ name: String, help: String) -> Self {
    optionalText(name, expected: "null, or a path, relative to the working directory or absolute", help: help)
  }

  /// - Parameter isValid: Whether a text of 1 to 1024 bytes is a value.
  static func optionalText(
    _ name: String, expected: String = "null, or a text of 1 to 1024 bytes", help: String,
    isValid: @escaping @Sendable (String) -> Bool = { _ in true }
  ) -> Self {
    Setting(
      name: name, expected: expected, help: help, isSecret: false,
      parse: optional { (1...1024).contains($0.utf8.count) && isValid($0) }, format: { $0 })
  }

  private static func optional(_ isValid: @escaping @Sendable (String) -> Bool) -> @Sendable (String?) -> String?? {
    { text in
      guard let text else { return .some(nil) }
      // Not `? text : nil`, whose nil would be an absent value instead of a malformed one.
      guard isValid(text) else { return nil }
      return .some(text)
    }
  }
}

extension Setting where Value == ListenAddress {
  static func address(_ name: String, help: String) -> Self {
    Setting(
      name: name, expected: "an address and a port, as 127.0.0.1:4000 or [::1]:4000", help: help,
      isSecret: false, parse: { $0.flatMap(ListenAddress.init(parsing:)) }, format: { $0.description })
  }
}

extension Setting where Value == Int {
  static func count(_ name: String, in bounds: ClosedRange<Int>, help: String) -> Self {
    Setting(
      name: name, expected: "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)",
      help: help, isSecret: false,
      parse: { text in
        guard let text, text.utf8.allSatisfy({ (48...57).contains($0) || $0 == 45 }), let number = Int(text),
          bounds.contains(number)
        else { return nil }
        return number
      },
      format: { "\($0)" })
  }

  /// The value is in bytes.
  static func size(
    _ name: String, in bounds: ClosedRange<ByteCount>, help: String
  ) -> Self {
    Setting(
      name: name, expected: "a size from \(bounds.lowerBound) to \(bounds.upperBound), as 64KiB or 1MiB", help: help,
      isSecret: false,
      parse: { text in
        guard let text, let size = ByteCount(parsing: text), bounds.contains(size) else { return nil }
        return size.bytes
      },
      format: { ByteCount($0).description })
  }
}

extension Setting where Value == Int? {
  /// `null`, the default, stands for no limit.
  static func optionalCount(_ name: String, in bounds: ClosedRange<Int>, help: String) -> Self {
    let count = Setting<Int>.count(name, in: bounds, help: help)
    return Setting(
      name: name, expected: "null, or \(count.expected)", help: help, isSecret: false,
      parse: { text in
        guard text != nil else { return .some(nil) }
        guard let number = count.parse(text) else { return nil }
        return .some(number)
      },
      format: { $0.map { "\($0)" } })
  }

  /// The value is in bytes; `null`, the default, stands for no limit.
  static func optionalSize(_ name: String, in bounds: ClosedRange<ByteCount>, help: String) -> Self {
    Setting(
      name: name, expected: "null, or a size from \(bounds.lowerBound) to \(bounds.upperBound)",
      help: help, isSecret: false,
      parse: { text in
        guard let text else { return .some(nil) }
        guard let size = ByteCount(parsing: text), bounds.contains(size) else { return nil }
        return size.bytes
      },
      format: { $0.map { ByteCount($0).description } })
  }
}

extension Setting where Value == Duration {
  static func duration(
    _ name: String, in bounds: ClosedRange<Duration>, help: String
  ) -> Self {
    Setting(
      name: name,
      expected: "a duration from \(bounds.lowerBound.settingText) to \(bounds.upperBound.settingText), as 500ms or 1h30m",
      help: help, isSecret: false,
      parse: { text in
        guard let text, let duration = Duration(settingText: text), bounds.contains(duration) else { return nil }
        return duration
      },
      format: { $0.settingText })
  }
}

extension Setting where Value == Duration? {
  /// `null`, the default, stands for no limit.
  static func optionalDuration(_ name: String, in bounds: ClosedRange<Duration>, help: String) -> Self {
    Setting(
      name: name, expected: "null, or a duration from \(bounds.lowerBound.settingText) to \(bounds.upperBound.settingText)",
      help: help,
      isSecret: false,
      parse: { text in
        guard let text else { return .some(nil) }
        guard let duration = Duration(settingText: text), bounds.contains(duration) else { return nil }
        return .some(duration)
      },
      format: { $0?.settingText })
  }
}

extension Setting where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  static func choice(_ name: String, help: String) -> Self {
    Setting(
      name: name, expected: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "), help: help, isSecret: false,
      parse: { $0.flatMap(Value.init(rawValue:)) }, format: { $0.rawValue })
  }
}
