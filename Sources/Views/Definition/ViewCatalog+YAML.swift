import Events

extension ViewCatalog {
  /// A file of views in the form of docs/views.md: `init(yaml:file:)` reads the same views back, whatever their texts hold.
  public var yaml: String {
    views.isEmpty ? "views: {}\n" : "views:\n" + views.map { $0.lines.map { "  \($0)\n" }.joined() }.joined()
  }

  /// The same file as JSON, which is YAML too.
  public var json: String {
    var members = JSONObject()
    for view in views { members[view.name] = view.settings }
    let document: JSONValue = ["views": .object(members)]
    return YAMLText.escaping(json: document.text)
  }

  public init(json: JSONValue, file: String) throws(ViewCatalogError) {
    try self.init(jsonText: json.text, file: file)
  }

  /// Reads JSON that an earlier version has kept.
  ///
  /// `JSONValue` has written it: every character but the control characters below U+0020 is unescaped.
  public init(jsonText: String, file: String, watermarkDefault: WatermarkScope = .source) throws(ViewCatalogError) {
    try self.init(
      yaml: YAMLText.escaping(json: jsonText), file: file, bytesMax: ViewCatalog.writtenBytesMax, watermarkDefault: watermarkDefault)
  }
}

extension ViewDefinition {
  /// Reads a view back that was written as `yaml`. Where it says no `watermark`, it was written before there was a choice: the
  /// partition's time closed windows.
  /// - Throws: `ViewCatalogError`, also when the text holds another view.
  public init(written yaml: String, name: String, file: String) throws(ViewCatalogError) {
    let catalog = try ViewCatalog(
      yaml: yaml, file: file, bytesMax: ViewCatalog.writtenBytesMax, watermarkDefault: .partition)
    guard let view = catalog[name] else {
      let message = "the text is not of this view"
      throw ViewCatalogError(problems: [ViewProblem(file: file, line: 1, column: 1, view: name, key: nil, message: message)])
    }
    self = view
  }

  /// A file with this view alone.
  public var yaml: String { ViewCatalog(views: [self]).yaml }

  /// The view's name, and its settings indented below it.
  fileprivate var lines: [String] {
    var lines = ["\(name):"]
    if let filter { lines.append("  where: \(YAMLText.quoted(filter.text))") }
    if !keys.isEmpty {
      lines.append("  key:")
      lines += keys.map { "    \($0.name): \(YAMLText.quoted($0.path.expressionText))" }
    }
    lines += [
      "  window: \(window.yaml)", "  watermark: \(watermark.rawValue)", "  watermark_delay: \(DurationText.text(watermarkDelay))",
      "  allowed_lateness: \(DurationText.text(allowedLateness))",
    ]
    if let retention { lines.append("  retention: \(DurationText.text(retention))") }
    lines.append("  aggregates:")
    return lines + aggregates.map { "    \($0.name): \(YAMLText.quoted($0.canonicalText))" }
  }
}
