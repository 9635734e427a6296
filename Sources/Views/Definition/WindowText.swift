import Events
import Yams

/// The kinds of window as files of views and other texts have them.
enum WindowText {
  struct Kind {
    var name: String
    /// The names of its lengths; none where it is one length, written beside the kind.
    var settings: [String] = []
    var example: String
    /// Makes a window of as many lengths as `settings` has, or of one; throws why they are refused.
    var make: @Sendable ([Int64]) throws(WindowTextError) -> WindowDefinition
  }

  static let kinds: [Kind] = [
    Kind(name: "tumble", example: "1m") { (lengths) throws(WindowTextError) in .tumble(size: lengths[0]) },
    Kind(name: "hop", settings: ["size", "every"], example: "{size: 1h, every: 5m}") { (lengths) throws(WindowTextError) in
      let (size, every) = (lengths[0], lengths[1])
      guard every <= size else { throw .refused("events between two windows would be in none: 'every' is at most 'size'") }
      let pane = HopPanes(size: size, every: every).length
      guard pane >= WindowDefinition.lengthMin, size / pane <= WindowDefinition.overlapMax else {
        throw .refused(
          "too fine: 'size' and 'every' have a common divisor of at least 1ms, and 'size' is at most \(WindowDefinition.overlapMax) times it"
        )
      }
      return .hop(size: size, every: every)
    },
    Kind(name: "session", settings: ["gap"], example: "{gap: 10m}") { (lengths) throws(WindowTextError) in
      .session(gap: lengths[0])
    },
  ]
}

enum WindowTextError: Error {
  case refused(String)
}

extension WindowDefinition {
  /// The kind and its lengths, in the order of `WindowText.kinds`.
  private var written: (kind: String, lengths: [(name: String?, value: Int64)]) {
    switch self {
    case .tumble(let size): ("tumble", [(nil, size)])
    case .hop(let size, let every): ("hop", [("size", size), ("every", every)])
    case .session(let gap): ("session", [("gap", gap)])
    }
  }

  /// The text that goes into a view's hash; lengths are in nanoseconds.
  var canonicalText: String { ([written.kind] + written.lengths.map { "\($0.value)" }).joined(separator: " ") }

  public var json: JSONValue {
    var members = JSONObject()
    for (name, value) in written.lengths {
      let text = JSONValue.string(DurationText.text(value))
      guard let name else { return [written.kind: text] }
      members[name] = text
    }
    return [written.kind: .object(members)]
  }

  /// In the form of a file of views, on one line.
  var yaml: String {
    let lengths = written.lengths.map { length in
      (length.name.map { "\($0): " } ?? "") + DurationText.text(length.value)
    }.joined(separator: ", ")
    return "{ \(written.kind): \(written.lengths[0].name == nil ? lengths : "{ \(lengths) }") }"
  }

  /// For people, on one line: `tumble 1d`, `hop 1h every 5m`.
  public var summary: String {
    let lengths = written.lengths.map { length in
      let name = length.name ?? "size"
      return (name == "size" ? "" : name + " ") + DurationText.text(length.value)
    }
    return ([written.kind] + lengths).joined(separator: " ")
  }
}

extension ViewReader {
  mutating func window(_ node: Node) -> WindowDefinition? {
    guard let mapping = node.mapping else {
      report("expected the kind and its size, as { tumble: 1m }", key: "window", at: node)
      return nil
    }
    checkKeys(mapping, among: WindowText.kinds.map(\.name), what: "kind of window", of: "window")
    let entry = mapping.first
    guard mapping.count == 1, let entry, let kind = WindowText.kinds.first(where: { $0.name == entry.key.string }) else {
      if mapping.count != 1 { report("expected one kind of window, as { tumble: 1m }", key: "window", at: node) }
      return nil
    }
    let key = "window.\(kind.name)"
    guard let lengths = lengths(entry.value, kind, key) else { return nil }
    do throws(WindowTextError) { return try kind.make(lengths) } catch {
      switch error {
      case .refused(let message): report(message, key: key, at: entry.value)
      }
      return nil
    }
  }

  private mutating func lengths(_ node: Node, _ kind: WindowText.Kind, _ key: String) -> [Int64]? {
    if kind.settings.isEmpty { return duration(node, key: key, least: WindowDefinition.lengthMin).map { [$0] } }
    guard let inner = node.mapping else {
      report("expected \(kind.example)", key: key, at: node)
      return nil
    }
    checkKeys(inner, among: kind.settings, what: "setting", of: key)
    let problemsBefore = problems.count
    var lengths: [Int64] = []
    for name in kind.settings {
      guard let given = inner[name] else {
        report("'\(name)' is missing", key: key, at: node)
        continue
      }
      if let length = duration(given, key: "\(key).\(name)", least: WindowDefinition.lengthMin) { lengths.append(length) }
    }
    return problems.count == problemsBefore ? lengths : nil
  }
}
