import Aggregates
import Events
import Expressions
import Yams

/// Reads views out of a YAML tree and gathers their faults.
struct ViewReader {
  static let nameBytesMax = 63
  private static let settings = [
    "where", "key", "window", "watermark", "watermark_delay", "allowed_lateness", "retention", "aggregates",
  ]

  let file: String
  /// The scope of a view that does not say its own.
  let watermarkDefault: WatermarkScope
  var problems: [ViewProblem] = []
  private var viewName: String?

  init(file: String, watermarkDefault: WatermarkScope) {
    self.file = file
    self.watermarkDefault = watermarkDefault
  }

  // MARK: Reporting

  mutating func report(_ message: String, key: String? = nil, at node: Node?) {
    report(message, key: key, line: node?.mark?.line ?? 1, column: node?.mark?.column ?? 1)
  }

  mutating func report(_ message: String, key: String? = nil, line: Int, column: Int) {
    problems.append(ViewProblem(file: file, line: line, column: column, view: viewName, key: key, message: message))
  }

  mutating func checkKeys(_ mapping: Node.Mapping, among known: [String], what: String, of key: String? = nil) {
    for (name, _) in mapping where !known.contains(name.string ?? "") {
      let found = name.string ?? "this"
      let hint = nearest(to: found, among: known).map { "did you mean \($0)?" } ?? "expected \(listed(known))"
      report("there is no \(what) '\(found.prefix(64))': \(hint)", key: key, at: name)
    }
  }

  private func listed(_ names: [String]) -> String {
    names.count == 1 ? names[0] : "one of \(names.joined(separator: ", "))"
  }

  func isNull(_ node: Node) -> Bool { node.scalar?.style == .plain && ["", "~", "null"].contains(node.scalar?.string) }

  // MARK: A view

  /// The view, or nil when it has a fault.
  mutating func view(_ nameNode: Node, _ node: Node) -> ViewDefinition? {
    let problemsBefore = problems.count
    viewName = nil
    guard let name = nameNode.string, checkName(name, of: "view", key: nil, at: nameNode) else {
      if nameNode.string == nil { report("a view's name is a word", at: nameNode) }
      return nil
    }
    viewName = name
    defer { viewName = nil }
    guard let mapping = node.mapping else {
      report("expected settings below the name: window and aggregates at least", at: nameNode)
      return nil
    }
    checkKeys(mapping, among: ViewReader.settings, what: "setting")
    let filter = mapping["where"].flatMap { condition($0) }
    let keys = mapping["key"].map { keyColumns($0) } ?? []
    var window: WindowDefinition?
    if let given = mapping["window"] {
      window = self.window(given)
    } else {
      report("missing: write, for instance, { tumble: 1m }", key: "window", at: nameNode)
    }
    let watermark = mapping["watermark"].flatMap { watermarkScope($0) } ?? watermarkDefault
    let delay = mapping["watermark_delay"].flatMap { duration($0, key: "watermark_delay", least: 0) } ?? 0
    let lateness = mapping["allowed_lateness"].flatMap { duration($0, key: "allowed_lateness", least: 0) } ?? 0
    var retention: Int64?
    if let given = mapping["retention"], !isNull(given) {
      retention = duration(given, key: "retention", least: WindowDefinition.lengthMin)
      if let kept = retention, let window, kept < window.length {
        report("shorter than the window: rows would go before their window ends", key: "retention", at: given)
      }
    }
    var aggregates: [AggregateColumn] = []
    if let given = mapping["aggregates"] {
      aggregates = aggregateColumns(given)
    } else {
      report("missing: write, for instance, observations: count()", key: "aggregates", at: nameNode)
    }
    checkColumns(keys, aggregates, at: nameNode)
    guard problems.count == problemsBefore, let window else { return nil }
    return ViewDefinition(
      name: name, filter: filter, keys: keys, window: window, watermark: watermark, watermarkDelay: delay,
      allowedLateness: lateness, retention: retention, aggregates: aggregates)
  }

  private mutating func checkName(_ name: String, of what: String, key: String?, at node: Node) -> Bool {
    let isRight =
      name.utf8.first.map { (0x61...0x7A).contains($0) } == true
      && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    guard isRight, name.utf8.count <= ViewReader.nameBytesMax else {
      report(
        "'\(name.prefix(80))' is no name for a \(what): a letter a–z, then letters, digits or _, at most "
          + "\(ViewReader.nameBytesMax) in all", key: key, at: node)
      return false
    }
    return true
  }

  private mutating func checkColumns(_ keys: [KeyColumn], _ aggregates: [AggregateColumn], at node: Node) {
    var seen: Set<String> = []
    for (name, key) in keys.map({ ($0.name, "key") }) + aggregates.map({ ($0.name, "aggregates") }) {
      if ViewSchema.reservedNames.contains(name) {
        report("every result has a column '\(name)' already: choose another name", key: key, at: node)
      } else if !seen.insert(name).inserted {
        report("two columns are named '\(name)': name one of them otherwise", key: key, at: node)
      }
    }
  }

  // MARK: Settings

  /// The text of a scalar; nil, with the problem reported, for anything else.
  private mutating func text(_ node: Node, key: String, expected: String) -> String? {
    guard let scalar = node.scalar else {
      report("expected \(expected)", key: key, at: node)
      return nil
    }
    let tag = scalar.tag.rawValue
    if tag.hasPrefix("!"), tag.utf8.count > 1 {
      report("YAML reads the leading '!' as a tag: put quotes around the whole expression", key: key, at: node)
      return nil
    }
    if isNull(node) {
      report("empty: expected \(expected)", key: key, at: node)
      return nil
    }
    return scalar.string
  }

  private mutating func watermarkScope(_ node: Node) -> WatermarkScope? {
    let names = WatermarkScope.allCases.map(\.rawValue)
    guard let text = text(node, key: "watermark", expected: listed(names)) else { return nil }
    if let scope = WatermarkScope(rawValue: text) { return scope }
    let hint = nearest(to: text, among: names).map { "did you mean \($0)?" } ?? "expected \(listed(names))"
    report("there is no '\(text.prefix(64))': \(hint)", key: "watermark", at: node)
    return nil
  }

  private mutating func expression(_ text: String, key: String, at node: Node) -> Expression? {
    do throws(ExpressionError) {
      return try Expression(parsing: text)
    } catch {
      report("\(error)", key: key, at: node)
      return nil
    }
  }

  private mutating func condition(_ node: Node) -> Expression? {
    guard let text = text(node, key: "where", expected: "a condition such as data.temp != null") else { return nil }
    guard let condition = expression(text, key: "where", at: node) else { return nil }
    do throws(ExpressionError) {
      try condition.requireBoolean()
      return condition
    } catch {
      report("\(error)", key: "where", at: node)
      return nil
    }
  }

  mutating func duration(_ node: Node, key: String, least: Int64) -> Int64? {
    guard let text = text(node, key: key, expected: "a duration such as 5s or 1h30m") else { return nil }
    do throws(QuantityError) {
      let value = try DurationText.parse(text)
      guard (least...WindowDefinition.lengthMax).contains(value) else {
        let bounds = "\(DurationText.text(least)) to \(DurationText.text(WindowDefinition.lengthMax))"
        report("\(text) is out of bounds: \(bounds)", key: key, at: node)
        return nil
      }
      return value
    } catch {
      report("\(error)", key: key, at: node)
      return nil
    }
  }

  private mutating func keyColumns(_ node: Node) -> [KeyColumn] {
    if isNull(node) { return [] }
    var columns: [KeyColumn] = []
    if let sequence = node.sequence {
      for element in sequence {
        guard let path = keyPath(element) else { continue }
        guard isName(path.lastPart) else {
          report(
            "'\(path.lastPart)' cannot name a column: write {\(suggestedName(path.lastPart)): \(path.expressionText)}",
            key: "key", at: element)
          continue
        }
        columns.append(KeyColumn(name: path.lastPart, path: path))
      }
    } else if let mapping = node.mapping {
      for (name, element) in mapping {
        guard checkName(name.string ?? "", of: "key", key: "key", at: name), let path = keyPath(element) else { continue }
        columns.append(KeyColumn(name: name.string ?? "", path: path))
      }
    } else {
      report("expected a list of fields, as [source], or names with fields, as {site: data.site}", key: "key", at: node)
    }
    if columns.count > ViewDefinition.keysMax {
      report("\(columns.count) keys: at most \(ViewDefinition.keysMax) are allowed", key: "key", at: node)
    }
    return columns
  }

  private func isName(_ text: String) -> Bool {
    var copy = ViewReader(file: file, watermarkDefault: watermarkDefault)
    return copy.checkName(text, of: "column", key: nil, at: Node(""))
  }

  private func suggestedName(_ text: String) -> String {
    var name = ""
    for character in text.lowercased() where name.utf8.count < ViewReader.nameBytesMax {
      name += character.isASCII && (character.isLetter || character.isNumber) ? String(character) : "_"
    }
    return isName(name) ? name : "name"
  }

  private mutating func keyPath(_ node: Node) -> ValuePath? {
    guard let text = text(node, key: "key", expected: "a field such as source or data.site") else { return nil }
    guard let expression = expression(text, key: "key", at: node) else { return nil }
    guard let path = expression.path, path != .data([]) else {
      report("a key is a field, such as source or data.site, not '\(expression.canonicalText)'", key: "key", at: node)
      return nil
    }
    return path
  }

  // MARK: Aggregates

  private mutating func aggregateColumns(_ node: Node) -> [AggregateColumn] {
    guard let mapping = node.mapping, !mapping.isEmpty else {
      report("expected names with functions, as observations: count()", key: "aggregates", at: node)
      return []
    }
    if mapping.count > ViewDefinition.aggregatesMax {
      report("\(mapping.count) aggregates: at most \(ViewDefinition.aggregatesMax) are allowed", key: "aggregates", at: node)
      return []
    }
    var columns: [AggregateColumn] = []
    for (nameNode, value) in mapping {
      let name = nameNode.string ?? ""
      guard checkName(name, of: "column", key: "aggregates", at: nameNode) else { continue }
      let key = "aggregates.\(name)"
      guard let text = text(value, key: key, expected: "a function such as avg(data.temp)") else { continue }
      if let column = aggregate(name, text, key: key, at: value) { columns.append(column) }
    }
    return columns
  }

  private mutating func aggregate(_ name: String, _ text: String, key: String, at node: Node) -> AggregateColumn? {
    let blanks: Set<Character> = [" ", "\t", "\n", "\r"]
    let trimmed = text.drop { blanks.contains($0) }
    let function = String(trimmed.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
    var rest = trimmed.dropFirst(function.count).drop { blanks.contains($0) }
    while let last = rest.last, blanks.contains(last) { rest.removeLast() }
    guard AggregateFunction.names.contains(function) else {
      let hint =
        nearest(to: function, among: AggregateFunction.names).map { "did you mean \($0)?" }
        ?? "expected \(listed(AggregateFunction.names))"
      report("there is no aggregate '\(function)': \(hint)", key: key, at: node)
      return nil
    }
    guard rest.first == "(", rest.last == ")", rest.count >= 2 else {
      report("expected \(function)(…) and nothing else, found '\(text.prefix(80))'", key: key, at: node)
      return nil
    }
    let inner = String(rest.dropFirst().dropLast())
    if inner.allSatisfy(blanks.contains) {
      if let known = AggregateFunction.named(function, takesArgument: false) {
        return AggregateColumn(name: name, function: known)
      }
      report("\(function)() needs to know of what: write \(function)(data.temp)", key: key, at: node)
      return nil
    }
    guard var built = AggregateFunction.named(function, takesArgument: true) else {
      report("\(function)() takes no argument", key: key, at: node)
      return nil
    }
    var argumentText = Substring(inner)
    if let constants = built.constants {
      guard let comma = inner.lastIndex(of: ","),
        let given = Double(inner[inner.index(after: comma)...].filter { !blanks.contains($0) }),
        let exact = built.with(constant: given)
      else {
        let bounds = "\(constants.bounds.lowerBound) to \(constants.bounds.upperBound)"
        let noun = built.argument.wanted?.noun ?? "value"
        report(
          "\(function) takes a \(noun) and \(constants.meaning), \(bounds): write \(function)(data.temp, \(constants.example))",
          key: key, at: node)
        return nil
      }
      built = exact
      argumentText = inner[..<comma]
    }
    guard let argument = expression(String(argumentText), key: key, at: node) else { return nil }
    if let wanted = built.argument.wanted, argument.type != .any, argument.type.noun != wanted.noun {
      report("\(function) takes a \(wanted.noun), but \(argument.canonicalText) is a \(argument.type.noun)", key: key, at: node)
      return nil
    }
    return AggregateColumn(name: name, function: built, argument: argument)
  }
}
