import Events
import Expressions

/// The layout of one row's aggregates in memory: a fixed number of 64-bit words, in which handles stand for parts without a fixed
/// size.
///
/// Each column keeps one cell or two; columns of one argument share the cells that they have in common, as `sum`, `avg` and
/// `variance` do, or all quantiles.
///
/// There are two forms. *Live*, while events are folded: handles are blocks of a `StateArena`. *Canonical*, for everything else
/// (results, SQLite, the wire, hashes): instead of a handle stands the number of words of the cell's tail, and the tails follow
/// the row's words, in the order of the cells. A row's canonical form depends on its events alone: not on their order, their
/// batches, or how states were merged.
public struct StateLayout: Sendable {
  public struct Column: Sendable, Hashable {
    public var function: AggregateFunction
    /// The number of its argument among the view's distinct ones; nil for `count()`.
    public var argument: Int?
    public var type: ColumnType

    /// - Parameters:
    ///   - function: The column's function.
    ///   - argument: Which of the view's distinct arguments it takes; nil for `count()`.
    ///   - argumentType: The argument's; `.any` where the rows decide.
    public init(function: AggregateFunction, argument: Int?, argumentType: ColumnType = .any) {
      self.function = function
      self.argument = argument
      type = function.resultType(of: argumentType)
    }
  }

  /// A part of the state; two columns may read one cell.
  struct Cell: Sendable {
    var kind: any StateCell.Type
    var argument: Int?
    var offset: Int
    var hasTail: Bool
  }

  public let columns: [Column]
  /// The words of a row, without tails.
  public let stride: Int
  let cells: [Cell]
  /// The cells that may have a tail, in order.
  let tailCells: [Cell]
  /// For each column, the numbers of the cell its result is read from, and of its first: the same where it has but one.
  private let cellsOfColumn: [(own: Int, first: Int)]

  /// - Parameter columns: The view's aggregates, in order.
  public init(_ columns: [Column]) {
    var cells: [Cell] = []
    var stride = 0
    cellsOfColumn = columns.map { column in
      precondition(
        (column.function.argument == .none) == (column.argument == nil), "every aggregate but count() takes an argument")
      let numbers = column.function.cells.map { kind in
        if let known = cells.firstIndex(where: { $0.kind == kind && $0.argument == column.argument }) { return known }
        cells.append(Cell(kind: kind, argument: column.argument, offset: stride, hasTail: kind.tailWordsMax > 0))
        stride += kind.words
        return cells.count - 1
      }
      return (numbers[numbers.count - 1], numbers[0])
    }
    self.columns = columns
    self.cells = cells
    self.stride = stride
    tailCells = cells.filter(\.hasTail)
  }

  /// The most words of a row's canonical form.
  public var canonicalWordsMax: Int { cells.reduce(stride) { $0 + $1.kind.tailWordsMax } }

  /// The words of a row that has seen no event, in either form.
  public var initialWords: [UInt64] {
    var words = Array(repeating: UInt64(0), count: stride)
    for cell in cells { words[cell.offset] = cell.kind.initialWord }
    return words
  }

  // MARK: canonical form

  /// The words of a cell's tail in canonical form, as the cell states.
  @inline(__always) static func tailWords(_ cell: Cell, _ words: UnsafePointer<UInt64>) -> Int {
    cell.hasTail ? cell.kind.tailWords(words + cell.offset) : 0
  }

  /// A cell; the row is `isCanonical`.
  private func view(_ number: Int, _ state: UnsafeBufferPointer<UInt64>) -> CellView {
    let words = state.baseAddress.unsafelyUnwrapped
    let wanted = cells[number]
    let own = words + wanted.offset
    guard wanted.hasTail else { return CellView(words: own, tail: UnsafeBufferPointer(start: nil, count: 0)) }
    var start = stride
    for cell in tailCells where cell.offset < wanted.offset { start += StateLayout.tailWords(cell, words) }
    return CellView(
      words: own, tail: UnsafeBufferPointer(rebasing: state[start..<(start + StateLayout.tailWords(wanted, words))]))
  }

  /// Whether words from elsewhere are a row of this layout in canonical form, all of it within its bounds.
  public func isCanonical(_ state: UnsafeBufferPointer<UInt64>) -> Bool {
    guard state.count >= stride, let words = state.baseAddress else { return false }
    var start = stride
    for cell in cells {
      let count = StateLayout.tailWords(cell, words)
      guard count >= 0, count <= cell.kind.tailWordsMax, start + count <= state.count else { return false }
      let tail = UnsafeBufferPointer(rebasing: state[start..<(start + count)])
      guard cell.kind.isValid(words + cell.offset, tail: tail) else { return false }
      start += count
    }
    return start == state.count
  }

  // MARK: results

  /// A column's result. Without values, counts are 0, all else is null. A number beyond the range of doubles is null.
  /// - Parameters:
  ///   - column: The column's number.
  ///   - state: A row in canonical form, with its tails.
  public func value(of column: Int, in state: UnsafeBufferPointer<UInt64>) -> ResultValue {
    precondition(state.count >= stride, "a state has the layout's words")
    let (own, first) = cellsOfColumn[column]
    let cell = view(own, state)
    return columns[column].function.result(cell, first == own ? cell : view(first, state), columns[column].type)
  }

  public func values(of state: UnsafeBufferPointer<UInt64>) -> [ResultValue] {
    columns.indices.map { value(of: $0, in: state) }
  }
}

extension StateLayout: Hashable {
  /// The columns say all else.
  public static func == (a: StateLayout, b: StateLayout) -> Bool { a.columns == b.columns }
  public func hash(into hasher: inout Hasher) { hasher.combine(columns) }
}
