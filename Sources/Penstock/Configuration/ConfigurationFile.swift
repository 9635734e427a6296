import Yams

/// The texts of a YAML file, each with its line.
struct ConfigurationFile {
  /// A larger file is not read.
  static let bytesMax = 1 << 20

  private(set) var texts: [String: SettingText] = [:]
  private(set) var problems: [ConfigurationProblem] = []
  private let path: String
  private let known: Set<String>
  private let lists: Set<String>
  private let sections: Set<String>

  /// - Parameters:
  ///   - yaml: The file's content.
  ///   - path: The file's path, for messages only.
  init(yaml: String, path: String, declarations: [SettingDeclaration]) {
    self.path = path
    known = Set(declarations.map(\.name))
    lists = Set(declarations.filter(\.isList).map(\.name))
    sections = Set(declarations.flatMap { sectionNames(of: $0.name) })
    do {
      guard let root = try Yams.compose(yaml: yaml) else { return }
      read(root, at: "")
    } catch let error as YamlError {
      problems.append(problem(of: error))
    } catch {
      problems.append(ConfigurationProblem(origin: .file(path: path, line: 1), detail: "cannot be read as YAML: \(error)"))
    }
  }

  private mutating func read(_ node: Node, at name: String) {
    let origin = SettingOrigin.file(path: path, line: node.mark?.line ?? 1)
    switch node {
    case .mapping(let mapping):
      guard !known.contains(name) else {
        problems.append(ConfigurationProblem(origin: origin, detail: "\(name): expected one value, not a section"))
        return
      }
      for (key, value) in mapping { readMember(key, value, of: name) }
    case .scalar(let scalar):
      let text = isNull(scalar) ? nil : scalar.string
      if known.contains(name) {
        texts[name] = SettingText(text: text, origin: origin)
      } else if text != nil {
        // An empty section is one whose keys are all commented out.
        let what = name.isEmpty ? "expected sections and keys, as 'data: ./data'" : "\(name): expected a section of keys"
        problems.append(ConfigurationProblem(origin: origin, detail: "\(what), not '\(scalar.string.prefix(64))'"))
      }
    case .sequence(let sequence):
      if lists.contains(name) { return readList(sequence, at: name, origin) }
      let place = name.isEmpty ? "" : "\(name): "
      problems.append(ConfigurationProblem(origin: origin, detail: "\(place)expected a value, not a list"))
    case .alias:
      problems.append(ConfigurationProblem(origin: origin, detail: "\(name): aliases are not supported"))
    }
  }

  private mutating func readList(_ sequence: Node.Sequence, at name: String, _ origin: SettingOrigin) {
    let elements = sequence.compactMap { $0.scalar?.string }
    guard elements.count == sequence.count, !elements.contains(where: { $0.contains(",") }) else {
      problems.append(ConfigurationProblem(origin: origin, detail: "\(name): expected a list of texts without commas"))
      return
    }
    texts[name] = SettingText(text: elements.isEmpty ? nil : elements.joined(separator: ","), origin: origin)
  }

  private mutating func readMember(_ key: Node, _ value: Node, of section: String) {
    let origin = SettingOrigin.file(path: path, line: key.mark?.line ?? 1)
    guard let member = key.scalar?.string, !member.isEmpty, !member.contains(".") else {
      problems.append(ConfigurationProblem(origin: origin, detail: "expected the name of a key, without dots"))
      return
    }
    let name = section.isEmpty ? member : "\(section).\(member)"
    guard known.contains(name) || sections.contains(name) else {
      problems.append(ConfigurationProblem(origin: origin, detail: unknownKey(name, among: known.union(sections))))
      return
    }
    read(value, at: name)
  }

  private func isNull(_ scalar: Node.Scalar) -> Bool {
    scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  private func problem(of error: YamlError) -> ConfigurationProblem {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
      return ConfigurationProblem(origin: .file(path: path, line: mark.line), detail: "not YAML: \(problem)")
    case .duplicatedKeysInMapping(let duplicates, let context):
      return ConfigurationProblem(
        origin: .file(path: path, line: context.mark.line), detail: "given twice: \(duplicates.joined(separator: ", "))")
    default:
      return ConfigurationProblem(origin: .file(path: path, line: 1), detail: "not YAML: \(error)")
    }
  }
}

/// The sections a key lies in: `log.retention.age` lies in `log` and `log.retention`.
private func sectionNames(of key: String) -> [String] {
  let parts = key.split(separator: ".")
  return (1..<max(parts.count, 1)).map { parts[..<$0].joined(separator: ".") }
}

/// "unknown key X", and the nearest known key if it is near enough.
func unknownKey(_ name: String, among known: some Sequence<String>) -> String {
  let last = name.split(separator: ".").last.map(String.init) ?? name
  let ranked = known.map { candidate -> (rank: Int, distance: Int, name: String) in
    // A key in the wrong section is nearer than its letters suggest.
    let isMisplaced = candidate.split(separator: ".").last.map(String.init) == last
    let distance = editDistance(name, candidate)
    return (isMisplaced ? 1 : distance, distance, candidate)
  }
  guard let nearest = ranked.min(by: { $0 < $1 }), nearest.rank <= max(2, name.count / 3)
  else { return "unknown key '\(name)'; `penstock config check` prints all there are" }
  return "unknown key '\(name)': did you mean '\(nearest.name)'?"
}

/// Levenshtein's distance over bytes.
/// - Complexity: The product of both lengths; callers give names of keys.
func editDistance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.utf8.prefix(128)), Array(b.utf8.prefix(128)))
  var row = Array(0...b.count)
  for i in a.indices {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let substitution = diagonal + (a[i] == b[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
