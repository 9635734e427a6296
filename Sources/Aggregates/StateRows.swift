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
    for cell in layout.tailCells {
      switch cell.kind {
      case .sum, .squares: if state[cell.offset + 3] >= ExactSum.flag { arena.release(state[cell.offset]) }
      case .first, .last: if state[cell.offset + 4] != 0 { arena.release(state[cell.offset + 4]) }
      default: if state[cell.offset] != 0 { arena.release(state[cell.offset]) }
      }
    }
    for word in 0..<stride { state[word] = initialWords[word] }
  }

  // MARK: folding

  public struct Batch {
    /// The state's number for each of the batch's rows; −1 leaves the row out.
    public var slots: UnsafeBufferPointer<Int32>
    /// Event times, one a row; empty for a layout without first, last and rate.
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
    guard let slots = batch.slots.baseAddress else { return }
    for cell in layout.cells where cell.kind == .rows { countRows(words + cell.offset, stride, slots, batch.slots.count) }
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
  public mutating func fold(
    argument: Int, _ values: ValueVector, _ batch: Batch, strings: (Int, (UnsafeRawBufferPointer) -> Void) -> Void
  ) -> Int {
    precondition(values.count == batch.slots.count, "an argument has a value for each row")
    var unusable = 0
    for cell in layout.cells where cell.argument == argument {
      let base = words + cell.offset
      switch cell.kind {
      case .rows: preconditionFailure("count() takes no argument")
      case .present, .min, .max: unusable += foldCell(cell.kind, base, stride, batch.slots, values)
      case .sum: unusable += foldSums(base, stride, batch.slots, values, &arena)
      case .squares: unusable += foldSquares(base, stride, batch.slots, values, &arena)
      case .quantile: unusable += foldQuantiles(base, stride, batch.slots, values, &arena)
      case .distinct: unusable += foldDistinct(base, stride, batch.slots, values, &arena, strings)
      case .first, .last:
        unusable += foldTimed(base, stride, batch, values, isLast: cell.kind == .last, &arena, strings)
      case .rate: unusable += foldRates(base, stride, batch, values, &arena)
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
      let words = state + cell.offset
      let place = start + cell.offset
      let tailStart = output.count
      switch cell.kind {
      case .rows, .present, .min, .max: continue
      case .sum, .squares:
        guard words[3] >= ExactSum.flag else { continue }
        let (kept, isWide) = cell.kind == .sum ? ExactSum.canonical(words, arena) : ExactVariance.canonical(words, arena)
        (output[place], output[place + 1], output[place + 2], output[place + 3]) = kept
        guard isWide else { continue }
        let count = cell.kind == .sum ? ExactSum.wideWords : ExactVariance.wideWords
        output.append(
          contentsOf: UnsafeBufferPointer(start: arena.block(words[0]) + StateArena.headerWords, count: count))
      case .first, .last:
        guard words[4] != 0 else { continue }
        output.append(
          contentsOf: UnsafeBufferPointer(
            start: arena.block(words[4]) + StateArena.headerWords, count: TimedValue.tailWords(words)))
        output[place + 4] = UInt64(output.count - tailStart)
      case .quantile, .distinct, .rate:
        guard words[0] != 0 else { continue }
        switch cell.kind {
        case .quantile: QuantileSketch.appendTail(words[0], arena, to: &output)
        case .distinct: DistinctSketch.appendTail(words[0], arena, to: &output)
        default: CounterRate.appendTail(words[0], arena, to: &output)
        }
        output[place] = UInt64(output.count - tailStart)
      }
    }
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
      switch cell.kind {
      case .rows, .present: a[0] &+= b[0]
      case .min: a[0] = Swift.min(Double(bitPattern: a[0]), Double(bitPattern: b[0])).bitPattern
      case .max: a[0] = Swift.max(Double(bitPattern: a[0]), Double(bitPattern: b[0])).bitPattern
      case .sum: ExactSum.merge(a, b, tail: tail.baseAddress ?? b, &arena)
      case .squares: ExactVariance.merge(a, b, tail: tail.baseAddress ?? b, &arena)
      case .first, .last: TimedValue.merge(a, b, tail: tail, isLast: cell.kind == .last, &arena)
      case .quantile: QuantileSketch.merge(a, tail: tail, &arena)
      case .distinct: DistinctSketch.merge(a, tail: tail, &arena)
      case .rate: CounterRate.merge(a, tail: tail, &arena)
      }
    }
  }
}
