import Events

/// The state of one argument in a row, for one aggregate or several: words in a fixed place, and perhaps a tail.
///
/// A conforming type is a kind of cell and has no instances: a layout holds metatypes, so that the cell is chosen once a batch
/// or once a row merged, never once an event. All pointers are to the cell's first word. `StateLayout` documents the two forms,
/// live and canonical.
protocol StateCell: SendableMetatype {
  /// Words in the row.
  static var words: Int { get }
  /// Words that the tail has at most; 0 for a cell that never has one.
  static var tailWordsMax: Int { get }
  /// The first word before any event; the others are 0.
  static var initialWord: UInt64 { get }

  /// Folds one value a row; `count()` is given none.
  /// - Returns: Values that could not be used.
  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int
  /// Adds the events that a canonical cell has seen. Commutative and associative, to the last bit.
  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena)
  /// Whether words that came from elsewhere are a cell in canonical form.
  /// - Parameter tail: `tailWords` words, at most `tailWordsMax`.
  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool

  /// Words of a canonical cell's tail, as its words say.
  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int
  /// Makes the words at `place`, a copy of the live ones, canonical, and appends the tail.
  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int)
  /// Gives back the live cell's blocks.
  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena)
}

extension StateCell {
  static var initialWord: UInt64 { 0 }
}

/// A cell that takes in finite numbers, one by one.
protocol NumberCell: StateCell {
  static func add(_ state: UnsafeMutablePointer<UInt64>, _ value: Double, _ arena: inout StateArena)
}

extension NumberCell {
  @inline(__always) static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    fold.forEachNumber(values) { cell, _, value in add(cell, value, &arena) }
  }
}

/// A cell of one word and no tail.
protocol WordCell: StateCell {}

extension WordCell {
  static var words: Int { 1 }
  static var tailWordsMax: Int { 0 }
  static func tailWords(_: UnsafePointer<UInt64>) -> Int { 0 }
  static func appendTail(of _: UnsafePointer<UInt64>, _: borrowing StateArena, to _: inout [UInt64], at _: Int) {}
  static func release(_: UnsafePointer<UInt64>, _: inout StateArena) {}
}

/// A cell of one word, the handle of a block, 0 for none; canonical, the number of the tail's words.
protocol BlockCell: StateCell {
  static func appendTail(_ handle: UInt64, _ arena: borrowing StateArena, to words: inout [UInt64])
  static func merge(_ state: UnsafeMutablePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, _ arena: inout StateArena)
  static func isValid(tail: UnsafeBufferPointer<UInt64>) -> Bool
}

extension BlockCell {
  static var words: Int { 1 }
  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int { Int(truncatingIfNeeded: state[0]) }

  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int
  ) {
    guard state[0] != 0 else { return }
    let start = output.count
    appendTail(state[0], arena, to: &output)
    output[place] = UInt64(output.count - start)
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) { merge(state, tail: tail, &arena) }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool { isValid(tail: tail) }

  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena) {
    if state[0] != 0 { arena.release(state[0]) }
  }
}

/// A whole number of four words, or of a block where that is too small. Bit 63 of the last word says so, and the first is then
/// the block's handle, in canonical form the number of its words. A number that fits the row lies there in canonical form.
protocol WideCell: StateCell {
  static var wideWords: Int { get }
  /// The row's words as they are in canonical form, and whether the block is its tail.
  static func canonical(
    _ state: UnsafePointer<UInt64>, _ arena: borrowing StateArena
  ) -> (row: (UInt64, UInt64, UInt64, UInt64), isWide: Bool)
}

extension WideCell {
  static var words: Int { 4 }
  static var flag: UInt64 { 1 << 63 }
  static var tailWordsMax: Int { wideWords }

  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int { state[3] < flag ? 0 : Int(truncatingIfNeeded: state[0]) }

  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int
  ) {
    guard state[3] >= flag else { return }
    let (row, isWide) = canonical(state, arena)
    (output[place], output[place + 1], output[place + 2], output[place + 3]) = row
    guard isWide else { return }
    output.append(contentsOf: UnsafeBufferPointer(start: arena.block(state[0]) + StateArena.headerWords, count: wideWords))
  }

  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena) {
    if state[3] >= flag { arena.release(state[0]) }
  }
}
