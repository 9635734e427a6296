import Events

/// The states of many rows in live form: contiguous words, and an arena for parts without a fixed size.
///
/// Belongs to one owner. Rows are numbered densely, in the order they were added.
public struct StateRows: ~Copyable {
  public let layout: StateLayout
  private let stride: Int
  private let initialWords: [UInt64]
  private var words: UnsafeMutablePointer<UInt64>
  private var capacity: Int
  private var arena = StateArena()
  public private(set) var count = 0

  /// - Parameters:
  ///   - layout: The layout of each row.
  ///   - capacity: The rows to have room for at first.
  public init(layout: StateLayout, capacity: Int = 16) {
    self.layout = layout
    self.capacity = Swift.max(1, capacity)
    stride = layout.stride
    initialWords = layout.initialWords
    words = .allocate(capacity: self.capacity * layout.stride)
  }

  deinit { words.deallocate() }

  /// The allocated bytes of memory.
  public var byteCount: Int { capacity * stride * 8 + arena.byteCount }

  /// Adds a row that has seen no event.
  public mutating func append() {
    if count == capacity {
      let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity * 2 * stride)
      larger.update(from: words, count: count * stride)
      words.deallocate()
      words = larger
      capacity *= 2
    }
    for word in 0..<stride { words[count * stride + word] = initialWords[word] }
    count += 1
  }

  /// Resets a row to one that has seen no event.
  public mutating func reset(_ row: Int) {
    precondition(row < count)
    let state = words + row * stride
    for cell in layout.tailCells { cell.kind.release(state + cell.offset, &arena) }
    for word in 0..<stride { state[word] = initialWords[word] }
  }

  // MARK: folding

  public struct Batch {
    /// The state's number for each of the batch's rows; −1 leaves the row out.
    public var slots: UnsafeBufferPointer<Int32>
    public var times: UnsafeBufferPointer<Int64>
    public var baseOffset: Offset

    public init(slots: UnsafeBufferPointer<Int32>, times: UnsafeBufferPointer<Int64>, baseOffset: Offset) {
      self.slots = slots
      self.times = times
      self.baseOffset = baseOffset
    }
  }

  /// Folds the aggregates without an argument.
  public mutating func foldRows(_ batch: Batch) {
    fold(nil, ValueVector(), batch) { _, _ in }
  }

  /// Folds one of the view's distinct arguments.
  /// - Parameters:
  ///   - argument: Its number among the view's distinct arguments.
  ///   - values: A value for each of the batch's rows.
  ///   - batch: The states that the rows go into.
  ///   - strings: Gives a string's UTF-8 by its code.
  /// - Returns: The number of values that could not be used: an error, or another kind than needed. Each is counted
  ///   once for each cell that wanted it; missing fields and nulls are left out silently, as in SQL.
  @discardableResult
  public mutating func fold(argument: Int, _ values: ValueVector, _ batch: Batch, strings: StringReader) -> Int {
    precondition(values.count == batch.slots.count, "an argument has a value for each row")
    return fold(argument, values, batch, strings)
  }

  @discardableResult
  private mutating func fold(_ argument: Int?, _ values: ValueVector, _ batch: Batch, _ strings: StringReader) -> Int {
    var unusable = 0
    withoutActuallyEscaping(strings) { strings in
      for cell in layout.cells where cell.argument == argument {
        let fold = CellFold(base: words + cell.offset, stride: stride, batch: batch, strings: strings)
        unusable += cell.kind.fold(fold, values, &arena)
      }
    }
    return unusable
  }

  // MARK: canonical form

  /// Appends a row in canonical form.
  public func appendCanonical(_ row: Int, to output: inout [UInt64]) {
    precondition(row < count)
    let state = words + row * stride
    let start = output.count
    output.append(contentsOf: UnsafeBufferPointer(start: state, count: stride))
    for cell in layout.tailCells {
      cell.kind.appendTail(of: state + cell.offset, arena, to: &output, at: start + cell.offset)
    }
    assert(
      output.withUnsafeBufferPointer { layout.isCanonical(UnsafeBufferPointer(rebasing: $0[start...])) },
      "what is written is what is read")
  }

  /// Adds the events of a row in canonical form to `row`. Commutative and associative, to the last bit.
  /// - Parameters:
  ///   - row: The row to add to.
  ///   - source: A row that `StateLayout.isCanonical` accepts, or that `appendCanonical` made.
  public mutating func merge(into row: Int, _ source: UnsafeBufferPointer<UInt64>) {
    precondition(row < count && source.count >= stride)
    let target = words + row * stride
    let from = source.baseAddress.unsafelyUnwrapped
    var start = stride
    for cell in layout.cells {
      let a = target + cell.offset
      let b = from + cell.offset
      let tail = UnsafeBufferPointer(rebasing: source[start..<(start + StateLayout.tailWords(cell, from))])
      start += tail.count
      cell.kind.merge(a, b, tail: tail, &arena)
    }
  }
}
