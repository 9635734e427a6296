import Events

extension ViewDefinition {
  /// A file with this view alone, as docs/views.md describes them: `ViewCatalog` reads the same definition back.
  public var yaml: String {
    func quoted(_ text: String) -> String { JSONValue.string(text).text }
    func duration(_ nanoseconds: Int64) -> String { DurationText.text(nanoseconds) }
    let window =
      switch self.window {
      case .tumble(let size): "{ tumble: \(duration(size)) }"
      case .hop(let size, let every): "{ hop: { size: \(duration(size)), every: \(duration(every)) } }"
      case .session(let gap): "{ session: { gap: \(duration(gap)) } }"
      }
    var lines = ["views:", "  \(name):"]
    if let filter { lines.append("    where: \(quoted(filter.canonicalText))") }
    if !keys.isEmpty {
      lines.append("    key:")
      lines += keys.map { "      \($0.name): \(quoted($0.path.expressionText))" }
    }
    lines += ["    window: \(window)", "    watermark_delay: \(duration(watermarkDelay))"]
    lines.append("    allowed_lateness: \(duration(allowedLateness))")
    if let retention { lines.append("    retention: \(duration(retention))") }
    lines.append("    aggregates:")
    lines += aggregates.map { "      \($0.name): \(quoted($0.canonicalText))" }
    return lines.joined(separator: "\n") + "\n"
  }
}
