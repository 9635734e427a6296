import Expressions

/// An aggregate of views: all facts about one stand in one place. `all` lists them; code that reads, folds, merges, answers and
/// documents uses that list.
public final class AggregateFunction: Sendable {
  public enum Argument: String, Sendable {
    /// Nothing: every event counts.
    case none = "every event"
    case present = "values other than null"
    case scalar = "any scalar"
    case number = "numbers"
    case counter = "a counter"
    case condition = "a condition"

    /// The type that the argument must have; nil where any will do.
    package var wanted: ColumnType? {
      switch self {
      case .none, .present, .scalar: nil
      case .number, .counter: .double
      case .condition: .boolean
      }
    }
  }

  public let name: String
  public let argument: Argument
  /// The number after the argument; nil for a function that takes none.
  public let constant: Double?
  /// The constant's bounds, its name in docs, its meaning and an example; nil for a function that takes none.
  package let constants: (bounds: ClosedRange<Int>, name: String, meaning: String, example: String)?
  /// One line of docs: how exact the result is.
  public let exactness: String
  /// The result of no values, for the docs.
  public let emptyResult: String
  /// The same function with another constant.
  private let made: @Sendable (Double) -> AggregateFunction?
  /// A row's cells for it, one or two. The result is read from the last. Where there are two, functions that need only the first
  /// share it.
  let cells: [any StateCell.Type]
  private let type: @Sendable (ColumnType) -> ColumnType
  let result: @Sendable (_ cell: CellView, _ first: CellView, _ type: ColumnType) -> ResultValue

  /// - Parameters:
  ///   - name: The name in files of views. Two functions may share it if one takes no argument.
  ///   - argument: The kind of its argument.
  ///   - exactness: One line for the docs.
  ///   - emptyResult: One line for the docs.
  ///   - constant: The number after the argument.
  ///   - constants: Its bounds, its name, its meaning and an example.
  ///   - made: The function with a constant.
  ///   - cells: A row's cells for it; one or two.
  ///   - type: The result's type for an argument's type.
  ///   - result: The result from the last cell, the first cell and the column's type, in canonical form.
  init(
    _ name: String, _ argument: Argument, exactness: String, emptyResult: String = "null", constant: Double? = nil,
    constants: (bounds: ClosedRange<Int>, name: String, meaning: String, example: String)? = nil,
    made: @escaping @Sendable (Double) -> AggregateFunction? = { _ in nil }, cells: [any StateCell.Type],
    type: @escaping @Sendable (ColumnType) -> ColumnType,
    result: @escaping @Sendable (_ cell: CellView, _ first: CellView, _ type: ColumnType) -> ResultValue
  ) {
    precondition((1...2).contains(cells.count) && (constant == nil) == (constants == nil))
    self.name = name
    self.argument = argument
    self.exactness = exactness
    self.emptyResult = emptyResult
    self.constant = constant
    self.constants = constants
    self.made = made
    self.cells = cells
    self.type = type
    self.result = result
  }

  /// The type of its results.
  /// - Parameter argument: The argument's; `.any` where the rows decide.
  public func resultType(of argument: ColumnType) -> ColumnType { type(argument) }

  /// The text of a call: `quantile(data.temp, 0.95)`.
  /// - Parameter argument: The argument's text; nil for none.
  public func text(_ argument: String?) -> String {
    "\(name)(\([argument, constant.map { "\($0)" }].compactMap { $0 }.joined(separator: ", ")))"
  }

  /// Its row in the docs' table.
  public var documentation: String {
    let parts = [argument == .none ? nil : "x", constants?.name].compactMap { $0 }
    return "| `\(name)(\(parts.joined(separator: ", ")))` | \(argument.rawValue) | \(emptyResult) | \(exactness) |"
  }

  // MARK: the list

  /// Every name once.
  package static let names = all.map(\.name).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }

  /// The function of this name; nil when there is none.
  /// - Parameters:
  ///   - name: As a view's file has it.
  ///   - takesArgument: Whether it is given one.
  package static func named(_ name: String, takesArgument: Bool) -> AggregateFunction? {
    all.first { $0.name == name && ($0.argument != .none) == takesArgument }
  }

  /// The function with this constant; nil where it takes none, or it is out of its bounds.
  package func with(constant: Double) -> AggregateFunction? {
    constants.map { Double($0.bounds.lowerBound)...Double($0.bounds.upperBound) ~= constant } == true ? made(constant) : nil
  }
}

extension AggregateFunction: Hashable {
  public static func == (a: AggregateFunction, b: AggregateFunction) -> Bool {
    a === b || a.name == b.name && a.argument == b.argument && a.constant == b.constant
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(name)
    hasher.combine(argument)
    hasher.combine(constant)
  }
}

/// A cell in canonical form, as results are read from it.
struct CellView {
  let words: UnsafePointer<UInt64>
  /// Without an address when there is none.
  let tail: UnsafeBufferPointer<UInt64>
}

extension ResultValue {
  /// Null for numbers that JSON cannot write.
  static func number(_ value: Double?) -> ResultValue { value.flatMap { $0.isFinite ? .double($0) : nil } ?? .null }
}
