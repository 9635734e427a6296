/// All faults of a file of views, in the order of its lines.
public struct ViewCatalogError: Error, Sendable, CustomStringConvertible {
  /// At least one.
  public let problems: [ViewProblem]

  public init(problems: [ViewProblem]) {
    precondition(!problems.isEmpty, "an error has a reason")
    self.problems = problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
  }

  public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// One fault of a view, its place, and advice.
public struct ViewProblem: Sendable, Hashable, CustomStringConvertible {
  public var file: String
  /// From 1.
  public var line: Int
  /// From 1.
  public var column: Int
  public var view: String?
  /// The setting, such as `window` or `aggregates.temp_avg`.
  public var key: String?
  /// May have several lines: an expression with a caret under the fault.
  public var message: String

  public var description: String {
    var place = "\(file):\(line):\(column): "
    if let view { place += "view \(view): " }
    if let key { place += "\(key): " }
    return place + message
  }
}
