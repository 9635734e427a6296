import Foundation

/// Puts the layers together: built-in default < file < environment < flags.
struct ConfigurationLoader {
  /// The file that is read when no `--config` names another; it may be missing.
  static let defaultPath = "config/penstock.yaml"

  /// A file given by `--config`; it has to exist.
  var configPath: String?
  var environment: [String: String]
  /// Key, text and the flag's name, in the order given; the last wins.
  var flags: [(key: String, text: String, flag: String)]

  init(
    configPath: String? = nil, environment: [String: String] = [:], flags: [(key: String, text: String, flag: String)] = []
  ) {
    self.configPath = configPath
    self.environment = environment
    self.flags = flags
  }

  struct Loaded: Sendable {
    var settings: Settings
    /// Every key in the order declared.
    var entries: [SettingsReader.Entry]
  }

  /// - Throws: `ConfigurationError` with all faults of every layer.
  func load() throws(ConfigurationError) -> Loaded {
    var (texts, problems) = collectTexts(SettingKeys.all)
    var reader = SettingsReader(texts: texts)
    texts = [:]
    let settings = Settings(from: &reader)
    problems += reader.problems
    guard problems.isEmpty else { throw ConfigurationError(problems: inOrder(problems)) }
    return Loaded(settings: settings, entries: reader.entries)
  }

  /// The last text given for each key, and the faults found before any value is checked.
  func collectTexts(_ declarations: [SettingDeclaration]) -> ([String: SettingText], [ConfigurationProblem]) {
    var texts: [String: SettingText] = [:]
    var problems: [ConfigurationProblem] = []

    let path = configPath ?? Self.defaultPath
    switch readText(path, bytesMax: ConfigurationFile.bytesMax) {
    case .success(let yaml):
      let file = ConfigurationFile(yaml: yaml, path: path, declarations: declarations)
      texts = file.texts
      problems += file.problems
    case .failure(.missing) where configPath == nil:
      break
    case .failure(let failure):
      problems.append(
        ConfigurationProblem(origin: configPath == nil ? nil : .flag("--config"), detail: "\(path): \(failure)"))
    }

    let layer = EnvironmentLayer(environment, declarations: declarations)
    texts.merge(layer.texts) { $1 }
    problems += layer.problems

    let known = Set(declarations.map(\.name))
    for (key, text, flag) in flags {
      guard known.contains(key) else {
        problems.append(ConfigurationProblem(origin: .flag(flag), detail: unknownKey(key, among: known)))
        continue
      }
      texts[key] = SettingText(text: text.isEmpty || text == "null" ? nil : text, origin: .flag(flag))
    }
    return (texts, problems)
  }

  private func inOrder(_ problems: [ConfigurationProblem]) -> [ConfigurationProblem] {
    func rank(_ problem: ConfigurationProblem) -> (Int, Int, String) {
      switch problem.origin {
      case .file(_, let line): (0, line, problem.detail)
      case .environment(let variable), .environmentFile(let variable, _): (1, 0, variable)
      case .flag: (2, 0, problem.detail)
      case .builtIn, nil: (3, 0, problem.detail)
      }
    }
    return problems.sorted { rank($0) < rank($1) }
  }
}

/// The variables `PENSTOCK_SECTION__KEY` and `PENSTOCK_SECTION__KEY_FILE`.
struct EnvironmentLayer {
  /// A larger secret's file is not read.
  static let secretBytesMax = 64 << 10

  private(set) var texts: [String: SettingText] = [:]
  private(set) var problems: [ConfigurationProblem] = []

  init(_ environment: [String: String], declarations: [SettingDeclaration]) {
    for declaration in declarations {
      let variable = declaration.environmentVariable
      let direct = environment[variable]
      guard let path = environment[variable + "_FILE"] else {
        if let direct {
          texts[declaration.name] = SettingText(
            text: direct.isEmpty || direct == "null" ? nil : direct, origin: .environment(variable: variable))
        }
        continue
      }
      let origin = SettingOrigin.environmentFile(variable: variable + "_FILE", path: path)
      guard direct == nil else {
        problems.append(ConfigurationProblem(origin: origin, detail: "\(variable) is set too: set only one of the two"))
        continue
      }
      switch readText(path, bytesMax: Self.secretBytesMax) {
      case .success(let text):
        // Editors and `echo` end a file with a newline that is no part of the secret.
        let trimmed = text.hasSuffix("\r\n") || text.hasSuffix("\n") ? String(text.dropLast()) : text
        texts[declaration.name] = SettingText(text: trimmed.isEmpty ? nil : trimmed, origin: origin)
      case .failure(let failure):
        problems.append(ConfigurationProblem(origin: origin, detail: "\(declaration.name): \(failure)"))
      }
    }

    var known: [String: String] = [:]
    for declaration in declarations {
      known[declaration.environmentVariable] = declaration.name
      known[declaration.environmentVariable + "_FILE"] = declaration.name
    }
    for variable in environment.keys.sorted() where variable.hasPrefix("PENSTOCK_") && known[variable] == nil {
      check(unknown: variable, known: known)
    }
  }

  /// Only a double underscore marks a variable as one of ours: orchestrators set others, as `PENSTOCK_LOG_SERVICE_HOST`. A key
  /// written with single ones is reported all the same, lest it be ignored unnoticed.
  private mutating func check(unknown variable: String, known: [String: String]) {
    let origin = SettingOrigin.environment(variable: variable)
    if variable.contains("__") {
      let name = variable.dropFirst("PENSTOCK_".count).lowercased().split(separator: "_", omittingEmptySubsequences: false)
        .joined(separator: "_").replacing("__", with: ".")
      problems.append(ConfigurationProblem(origin: origin, detail: unknownKey(name, among: Set(known.values))))
    } else if let meant = known.keys.first(where: { $0.replacing("__", with: "_") == variable }) {
      problems.append(ConfigurationProblem(origin: origin, detail: "sections are set off by two underscores: set \(meant)"))
    }
  }
}

enum FileReadFailure: Error, CustomStringConvertible {
  case missing
  case other(String)

  var description: String {
    switch self {
    case .missing: "no such file"
    case .other(let reason): reason
    }
  }
}

/// The UTF-8 text of a file of at most `bytesMax` bytes.
func readText(_ path: String, bytesMax: Int) -> Result<String, FileReadFailure> {
  var isFolder: ObjCBool = false
  guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return .failure(.missing) }
  guard !isFolder.boolValue else { return .failure(.other("is a folder, not a file")) }
  guard let file = FileHandle(forReadingAtPath: path) else {
    return .failure(.other("cannot be opened: no permission to read it?"))
  }
  defer { file.closeFile() }
  do {
    let data = try file.read(upToCount: bytesMax + 1) ?? Data()
    guard data.count <= bytesMax else { return .failure(.other("larger than \(ByteCount(bytesMax))")) }
    guard let text = String(validating: data, as: UTF8.self) else { return .failure(.other("not UTF-8")) }
    return .success(text)
  } catch {
    return .failure(.other("cannot be read: \(error.localizedDescription)"))
  }
}
