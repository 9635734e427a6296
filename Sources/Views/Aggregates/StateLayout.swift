import Events

/// How the aggregates of one row lie in memory: a fixed number of 64-bit words, with no pointer among them.
///
/// ```
/// count(), count(x)  1 word   events, Int64
/// sum, avg           3 words  sum, compensation (doubles), values summed (Int64); shared by sum and avg of the same argument
/// min, max           1 word   the value so far; +∞ (min) or −∞ (max) while there is none
/// ```
/// State is kept per view and partition and folded in the order of offsets. Each update looks at one row at a time, in order,
/// so any split of the same rows into batches leaves the same words.
public struct StateLayout: Sendable, Hashable {
  public struct Column: Sendable, Hashable {
    public var function: AggregateFunction
    /// Which of the view's distinct arguments it takes; nil for `count()`.
    public var argument: Int?

    public init(function: AggregateFunction, argument: Int?) {
      self.function = function
      self.argument = argument
    }
  }

  enum CellKind: Sendable, Hashable {
    case rows, present, sum, min, max

    var words: Int { self == .sum ? 3 : 1 }
  }

  /// What is kept; two columns may read one cell.
  struct Cell: Sendable, Hashable {
    var kind: CellKind
    var argument: Int?
    /// First word.
    var offset: Int
  }

  public let columns: [Column]
  /// Words a row.
  public let stride: Int
  let cells: [Cell]
  /// For each column, its cell's first word.
  let offsets: [Int]

  public init(_ columns: [Column]) {
    var cells: [Cell] = []
    var offsets: [Int] = []
    var stride = 0
    for column in columns {
      let kind: CellKind =
        switch column.function {
        case .countRows: .rows
        case .count: .present
        case .sum, .avg: .sum
        case .min: .min
        case .max: .max
        }
      precondition((kind == .rows) == (column.argument == nil), "every aggregate but count() takes an argument")
      if let known = cells.first(where: { $0.kind == kind && $0.argument == column.argument }) {
        offsets.append(known.offset)
        continue
      }
      cells.append(Cell(kind: kind, argument: column.argument, offset: stride))
      offsets.append(stride)
      stride += kind.words
    }
    self.columns = columns
    self.cells = cells
    self.offsets = offsets
    self.stride = stride
  }

  /// Bytes a row takes in its encoded form.
  public var byteCount: Int { stride * 8 }

  /// The words of a row that has seen no event.
  public var initialWords: [UInt64] {
    var words = Array(repeating: UInt64(0), count: stride)
    for cell in cells {
      if cell.kind == .min { words[cell.offset] = Double.infinity.bitPattern }
      if cell.kind == .max { words[cell.offset] = (-Double.infinity).bitPattern }
    }
    return words
  }

  /// Folds a batch into the rows' states.
  /// - Parameters:
  ///   - states: `stride` words for each slot named.
  ///   - slots: The state's number for each of the batch's rows; −1 leaves the row out.
  ///   - rows: Rows of the batch.
  ///   - arguments: One vector for each of the view's distinct arguments, each with `rows` values.
  /// - Returns: Values that could not be used: an error, or no number where one is needed. Each is counted once for each cell
  ///   that wanted it; missing fields and nulls are left out silently, as in SQL.
  @discardableResult
  public func update(
    states: UnsafeMutablePointer<UInt64>, slots: UnsafePointer<Int32>, rows: Int, arguments: [ValueVector]
  ) -> Int {
    var unusable = 0
    for cell in cells {
      let base = states + cell.offset
      guard let argument = cell.argument else {
        countRows(base, stride, slots, rows)
        continue
      }
      precondition(arguments[argument].count == rows, "an argument has a value for each row")
      unusable += foldCell(cell.kind, base, stride, slots, arguments[argument], rows)
    }
    return unusable
  }

  /// Adds the events that `source` has seen to `target`.
  ///
  /// Counts, min and max are the same in whatever order states are merged. Sums are compensated and so all but: merge in the
  /// order of partitions, then the same states always give the same words.
  public func merge(into target: UnsafeMutablePointer<UInt64>, from source: UnsafePointer<UInt64>) {
    for cell in cells {
      let a = target + cell.offset
      let b = source + cell.offset
      switch cell.kind {
      case .rows, .present: a[0] &+= b[0]
      case .sum: mergeSums(a, b)
      case .min: a[0] = Swift.min(Double(bitPattern: a[0]), Double(bitPattern: b[0])).bitPattern
      case .max: a[0] = Swift.max(Double(bitPattern: a[0]), Double(bitPattern: b[0])).bitPattern
      }
    }
  }

  /// A column's result. Of no values: counts are 0, all else null. A sum beyond the range of doubles is null.
  public func value(of column: Int, in state: UnsafePointer<UInt64>) -> ResultValue {
    let words = state + offsets[column]
    switch columns[column].function {
    case .countRows, .count: return .int(Int64(bitPattern: words[0]))
    case .sum, .avg:
      let count = words[2]
      guard count > 0 else { return .null }
      let sum = Double(bitPattern: words[0]) + Double(bitPattern: words[1])
      let value = columns[column].function == .sum ? sum : sum / Double(count)
      return value.isFinite ? .double(value) : .null
    case .min, .max:
      let value = Double(bitPattern: words[0])
      return value.isFinite ? .double(value) : .null
    }
  }

  /// All columns' results.
  public func values(of state: UnsafePointer<UInt64>) -> [ResultValue] {
    columns.indices.map { value(of: $0, in: state) }
  }
}
