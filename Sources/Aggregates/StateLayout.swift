import Events
import Expressions

/// The layout of one row's aggregates in memory: a fixed number of 64-bit words, in which handles stand for parts without a fixed
/// size.
///
/// ```
/// count(), count(x)  1 word   events, Int64
/// sum, avg           4 words  ExactSum; shared by sum, avg, variance and stddev of the same argument
/// variance, stddev   4 words  ExactVariance, beside an ExactSum
/// min, max           1 word   the value so far; +∞ (min) or −∞ (max) while there is none
/// first, last        5 words  TimedValue
/// quantile           1 word   QuantileSketch; shared by all quantiles of the same argument
/// count_distinct     1 word   DistinctSketch
/// rate               1 word   CounterRate
/// ```
/// There are two forms. *Live*, while events are folded: handles are blocks of a `StateArena`. *Canonical*, for everything else
/// (results, SQLite, the wire, hashes): instead of a handle stands the number of words of the cell's tail, and the tails follow
/// the row's words, in the order of the cells. A row's canonical form depends on its events alone: not on their order, their
/// batches, or how states were merged.
public struct StateLayout: Sendable, Hashable {
  public struct Column: Sendable, Hashable {
    public var function: AggregateFunction
    /// The number of its argument among the view's distinct ones; nil for `count()`.
    public var argument: Int?

    public init(function: AggregateFunction, argument: Int?) {
      self.function = function
      self.argument = argument
    }
  }

  enum CellKind: Sendable, Hashable {
    case rows, present, sum, squares, min, max, first, last, quantile, distinct, rate

    var words: Int {
      switch self {
      case .rows, .present, .min, .max, .quantile, .distinct, .rate: 1
      case .sum: ExactSum.words
      case .squares: ExactVariance.words
      case .first, .last: TimedValue.words
      }
    }

    var hasTail: Bool {
      switch self {
      case .rows, .present, .min, .max: false
      case .sum, .squares, .first, .last, .quantile, .distinct, .rate: true
      }
    }

    /// The most words of a cell's tail.
    var tailWordsMax: Int {
      switch self {
      case .rows, .present, .min, .max: 0
      case .sum: ExactSum.wideWords
      case .squares: ExactVariance.wideWords
      case .first, .last: TimedValue.stringBytesMax / 8
      case .quantile: QuantileSketch.tailWordsMax
      case .distinct: DistinctSketch.denseWords
      case .rate: CounterRate.tailWordsMax
      }
    }
  }

  /// A part of the state; two columns may read one cell.
  struct Cell: Sendable, Hashable {
    var kind: CellKind
    var argument: Int?
    var offset: Int
  }

  public let columns: [Column]
  /// The words of a row, without tails.
  public let stride: Int
  let cells: [Cell]
  /// The cells that may have a tail, in order.
  let tailCells: [Cell]
  /// For each column, the number of its cell; for variance and stddev, the cell of the squares.
  private let cellOfColumn: [Int]

  /// - Parameter columns: The view's aggregates, in order.
  public init(_ columns: [Column]) {
    var cells: [Cell] = []
    var stride = 0
    func cell(_ kind: CellKind, _ argument: Int?) -> Int {
      if let known = cells.firstIndex(where: { $0.kind == kind && $0.argument == argument }) { return known }
      cells.append(Cell(kind: kind, argument: argument, offset: stride))
      stride += kind.words
      return cells.count - 1
    }
    cellOfColumn = columns.map { column in
      precondition((column.function == .countRows) == (column.argument == nil), "every aggregate but count() takes an argument")
      switch column.function {
      case .countRows: return cell(.rows, nil)
      case .count: return cell(.present, column.argument)
      case .sum, .avg: return cell(.sum, column.argument)
      case .min: return cell(.min, column.argument)
      case .max: return cell(.max, column.argument)
      case .first: return cell(.first, column.argument)
      case .last: return cell(.last, column.argument)
      case .quantile: return cell(.quantile, column.argument)
      case .countDistinct: return cell(.distinct, column.argument)
      case .rate: return cell(.rate, column.argument)
      case .variance, .stddev:
        _ = cell(.sum, column.argument)
        return cell(.squares, column.argument)
      }
    }
    self.columns = columns
    self.cells = cells
    self.stride = stride
    tailCells = cells.filter(\.kind.hasTail)
  }

  /// The most words of a row's canonical form.
  public var canonicalWordsMax: Int { cells.reduce(stride) { $0 + $1.kind.tailWordsMax } }

  /// The words of a row that has seen no event, in either form.
  public var initialWords: [UInt64] {
    var words = Array(repeating: UInt64(0), count: stride)
    for cell in cells {
      if cell.kind == .min { words[cell.offset] = Double.infinity.bitPattern }
      if cell.kind == .max { words[cell.offset] = (-Double.infinity).bitPattern }
    }
    return words
  }

  // MARK: canonical form

  /// The words of a cell's tail in canonical form, as the cell states.
  @inline(__always) static func tailWords(_ cell: Cell, _ words: UnsafePointer<UInt64>) -> Int {
    let state = words + cell.offset
    return switch cell.kind {
    case .rows, .present, .min, .max: 0
    case .sum, .squares: state[3] < ExactSum.flag ? 0 : Int(truncatingIfNeeded: state[0])
    case .first, .last: Int(truncatingIfNeeded: state[4])
    case .quantile, .distinct, .rate: Int(truncatingIfNeeded: state[0])
    }
  }

  /// A cell's tail; the row must be `isCanonical`.
  private func tail(_ number: Int, _ state: UnsafeBufferPointer<UInt64>) -> UnsafeBufferPointer<UInt64> {
    guard let words = state.baseAddress else { return UnsafeBufferPointer(start: nil, count: 0) }
    var start = stride
    let wanted = cells[number]
    for cell in tailCells where cell.offset < wanted.offset { start += StateLayout.tailWords(cell, words) }
    return UnsafeBufferPointer(rebasing: state[start..<(start + StateLayout.tailWords(wanted, words))])
  }

  /// Whether words from elsewhere are a row of this layout in canonical form, all of it within its bounds.
  public func isCanonical(_ state: UnsafeBufferPointer<UInt64>) -> Bool {
    guard state.count >= stride, let words = state.baseAddress else { return false }
    var start = stride
    for cell in cells {
      let count = StateLayout.tailWords(cell, words)
      guard count >= 0, count <= cell.kind.tailWordsMax, start + count <= state.count else { return false }
      let tail = UnsafeBufferPointer(rebasing: state[start..<(start + count)])
      guard isValid(cell, words + cell.offset, tail) else { return false }
      start += count
    }
    return start == state.count
  }

  private func isValid(_ cell: Cell, _ state: UnsafePointer<UInt64>, _ tail: UnsafeBufferPointer<UInt64>) -> Bool {
    switch cell.kind {
    case .rows, .present: Int64(bitPattern: state[0]) >= 0
    case .min, .max: !Double(bitPattern: state[0]).isNaN
    case .sum: ExactSum.isValid(state, tail: tail)
    case .squares: ExactVariance.isValid(state, tail: tail)
    case .first, .last: TimedValue.isValid(state, tail: tail)
    case .quantile: QuantileSketch.isValid(tail: tail)
    case .distinct: DistinctSketch.isValid(tail: tail)
    case .rate: CounterRate.isValid(tail: tail)
    }
  }

  // MARK: results

  /// A column's result. Without values, counts are 0, all else is null. A number beyond the range of doubles is null.
  /// - Parameters:
  ///   - column: The column's number.
  ///   - state: A row in canonical form, with its tails.
  public func value(of column: Int, in state: UnsafeBufferPointer<UInt64>) -> ResultValue {
    precondition(state.count >= stride, "a state has the layout's words")
    let number = cellOfColumn[column]
    let words = state.baseAddress.unsafelyUnwrapped + cells[number].offset
    switch columns[column].function {
    case .countRows, .count: return .int(Int64(bitPattern: words[0]))
    case .sum, .avg:
      let count = words[3] & ~ExactSum.flag
      guard count > 0 else { return .null }
      let sum = ExactSum.value(words, tail: tailBase(number, state))
      return .number(columns[column].function == .sum ? sum : sum / Double(count))
    case .min, .max: return .number(Double(bitPattern: words[0]))
    case .variance, .stddev:
      // A layout that has the cell of the squares has the sum's, too.
      guard let sum = cells.firstIndex(where: { $0.kind == .sum && $0.argument == cells[number].argument }) else { return .null }
      let variance = ExactVariance.value(
        sum: state.baseAddress.unsafelyUnwrapped + cells[sum].offset, sumTail: tailBase(sum, state), squares: words,
        squaresTail: tailBase(number, state))
      guard let variance else { return .null }
      return .number(columns[column].function == .variance ? variance : variance.squareRoot())
    case .first, .last: return TimedValue.value(words, tail: tail(number, state))
    case .quantile(let q): return QuantileSketch.quantile(q, tail: tail(number, state)).map { .number($0) } ?? .null
    case .countDistinct: return .int(DistinctSketch.count(tail: tail(number, state)))
    case .rate: return CounterRate.value(tail: tail(number, state)).map { .number($0) } ?? .null
    }
  }

  /// The beginning of a cell's tail; not to be read when it has none.
  private func tailBase(_ number: Int, _ state: UnsafeBufferPointer<UInt64>) -> UnsafePointer<UInt64> {
    tail(number, state).baseAddress ?? state.baseAddress.unsafelyUnwrapped
  }

  public func values(of state: UnsafeBufferPointer<UInt64>) -> [ResultValue] {
    columns.indices.map { value(of: $0, in: state) }
  }
}

extension ResultValue {
  /// Null for numbers that JSON cannot write.
  fileprivate static func number(_ value: Double) -> ResultValue { value.isFinite ? .double(value) : .null }
}
