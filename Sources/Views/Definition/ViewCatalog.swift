import Yams

public struct ViewCatalog: Sendable {
  public static let viewsMax = 64
  public static let fileBytesMax = 1 << 20
  /// The bound of a file that this module has written: escapes make it longer than the file that was read.
  public static let writtenBytesMax = 32 << 20

  /// In the order of the file; names are distinct.
  public let views: [ViewDefinition]

  /// - Precondition: Names are distinct.
  public init(views: [ViewDefinition]) {
    precondition(Set(views.map(\.name)).count == views.count, "view names are distinct")
    self.views = views
  }

  public subscript(name: String) -> ViewDefinition? { views.first { $0.name == name } }

  /// Reads a file of views; docs/views.md describes it.
  /// - Parameters:
  ///   - yaml: The text.
  ///   - file: The file's name, for error messages.
  ///   - bytesMax: The bound of the text; `writtenBytesMax` for a text that this module has written.
  /// - Throws: `ViewCatalogError` with every problem found, not only the first.
  public init(yaml: String, file: String, bytesMax: Int = fileBytesMax) throws(ViewCatalogError) {
    try self.init(yaml: yaml, file: file, bytesMax: bytesMax, watermarkDefault: .source)
  }

  /// - Parameter watermarkDefault: The `watermark` of views that say none.
  init(yaml: String, file: String, bytesMax: Int, watermarkDefault: WatermarkScope) throws(ViewCatalogError) {
    var reader = ViewReader(file: file, watermarkDefault: watermarkDefault)
    let views = reader.views(in: yaml, bytesMax: bytesMax)
    guard reader.problems.isEmpty else { throw ViewCatalogError(problems: reader.problems) }
    self.views = views
  }
}

extension ViewReader {
  /// All faultless views; `problems` has the faults of the others.
  mutating func views(in yaml: String, bytesMax: Int) -> [ViewDefinition] {
    guard yaml.utf8.count <= bytesMax else {
      report("a file of views has at most \(ByteSizeText.text(bytesMax))", at: nil)
      return []
    }
    guard let root = compose(yaml) else { return [] }
    guard let top = root.mapping else {
      report("expected 'views:' with a view's name and its settings below", at: root)
      return []
    }
    checkKeys(top, among: ["views"], what: "setting")
    guard let node = top["views"] else {
      report("'views:' is missing: write the views' names below it", at: root)
      return []
    }
    guard let mapping = node.mapping else {
      if !isNull(node) { report("expected a view's name and its settings below 'views:'", at: node) }
      return []
    }
    if mapping.count > ViewCatalog.viewsMax {
      report("\(mapping.count) views: at most \(ViewCatalog.viewsMax) are allowed", at: node)
      return []
    }
    return mapping.compactMap { name, settings in view(name, settings) }
  }

  /// The document's tree; nil, with the problem reported, when the text is no YAML.
  private mutating func compose(_ yaml: String) -> Node? {
    do {
      if let root = try Yams.compose(yaml: yaml) { return root }
      report("the file is empty: expected 'views:'", at: nil)
    } catch let error as YamlError {
      report(error, in: yaml)
    } catch {
      report("\(error)", at: nil)
    }
    return nil
  }

  private mutating func report(_ error: YamlError, in yaml: String) {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
      let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
      let line = lines.indices.contains(mark.line - 1) ? String(lines[mark.line - 1]) : ""
      let text = line.drop { $0 == " " }
      let hint =
        text.hasPrefix("where:") || text.contains("(")
        ? "; an expression that begins with a quote, '!', '&' or '[', or has ': ' or ' #' in it, needs quotes around all of it"
        : ""
      report("not YAML: \(problem)\(hint)", line: mark.line, column: mark.column)
    case .duplicatedKeysInMapping(let names, let context):
      report("given twice: \(names.sorted().joined(separator: ", "))", line: context.mark.line, column: context.mark.column)
    case .reader(let problem, _, _, _): report("not YAML: \(problem)", at: nil)
    default: report("not YAML: \(error)", at: nil)
    }
  }
}
