/// All faults of a file of views, in the order of its lines.
package struct ViewCatalogError: Error, Sendable, CustomStringConvertible {
  /// At least one.
  package let problems: [ViewProblem]

  package init(problems: [ViewProblem]) {
    precondition(!problems.isEmpty, "an error has a reason")
    self.problems = problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
  }

  package var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// One fault of a view, its place, and advice.
package struct ViewProblem: Sendable, Hashable, CustomStringConvertible {
  package var file: String
  /// From 1.
  package var line: Int
  /// From 1.
  package var column: Int
  package var view: String?
  /// The setting, such as `window` or `aggregates.temp_avg`.
  package var key: String?
  /// May have several lines: an expression with a caret under the fault.
  package var message: String

  package var description: String {
    var place = "\(file):\(line):\(column): "
    if let view { place += "view \(view): " }
    if let key { place += "\(key): " }
    return place + message
  }
}
