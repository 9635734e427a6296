enum SettingOrigin: Hashable, Sendable, CustomStringConvertible {
  case builtIn
  /// Lines count from 1.
  case file(path: String, line: Int)
  case environment(variable: String)
  /// The value was read from the file that the variable names.
  case environmentFile(variable: String, path: String)
  case flag(String)

  var description: String {
    switch self {
    case .builtIn: "default"
    case .file(let path, let line): "\(path):\(line)"
    case .environment(let variable): "env \(variable)"
    case .environmentFile(let variable, let path): "env \(variable) (\(path))"
    case .flag(let name): "flag \(name)"
    }
  }
}

/// A text given for a key, before it is checked. Nil stands for `null`.
struct SettingText: Hashable, Sendable {
  var text: String?
  var origin: SettingOrigin
}

/// One fault of the configuration, and its place.
struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
  var origin: SettingOrigin?
  var detail: String

  var description: String { origin.map { "\($0): \(detail)" } ?? detail }
}

/// All faults of the configuration at once. The command ends with exit code 2.
struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// At least one, in the order of the layers and, within the file, of the lines.
  var problems: [ConfigurationProblem]

  var description: String {
    problems.count == 1
      ? "configuration: \(problems[0])"
      : "configuration: \(problems.count) problems\n" + problems.map { "  \($0)" }.joined(separator: "\n")
  }
}
