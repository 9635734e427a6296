import Aggregates
import Views

/// The rows of several runs in order, each once, its versions merged.
///
/// A copy goes on by itself. It holds a block of each run.
struct RunMerge<Source: RunBlocks>: Sendable {
  private var sources: [Source]
  private let layout: StateLayout?
  private var heads = RunHeads([])
  private var hasStarted = false
  /// Rows at the front that were given already, all the same row.
  private var given = 0
  private var scratch: MergeScratch?

  /// - Parameters:
  ///   - sources: The newest first.
  ///   - layout: The states' layout; nil where all versions are whole, so nothing is ever merged (traps otherwise).
  init(_ sources: [Source], layout: StateLayout?) {
    self.sources = sources
    self.layout = layout
  }

  /// Gives the next row to `body`; false after the last.
  ///
  /// A row whose `body` throws is not given again. When a read throws, it can be tried again if the source can.
  mutating func next(_ reader: Source.Reader, _ body: (RunRow) throws -> Void) throws -> Bool {
    try settle(reader)
    guard !heads.isAtEnd else { return false }
    if heads.hasTie {
      try withMerged(body)
    } else {
      given = 1
      try heads.withHead(heads.first, body)
    }
    return true
  }

  /// The next row's place without taking it; nil after the last.
  mutating func peek(_ reader: Source.Reader) throws -> RowPlace? {
    try settle(reader)
    return heads.isAtEnd ? nil : heads.withHead(heads.first) { RowPlace(slot: $0.slot, key: Array($0.key)) }
  }

  // MARK: Blocks

  /// Goes behind the rows that were given.
  @inline(__always) private mutating func settle(_ reader: Source.Reader) throws {
    if !hasStarted { try start(reader) }
    while given > 0 {
      if heads.isLast { try load(reader) } else { heads.advance() }
      given &-= 1
    }
  }

  private mutating func start(_ reader: Source.Reader) throws {
    // When a read throws, the sources are as they were.
    var fresh = sources
    var blocks: [RunBlock] = []
    for run in fresh.indices { blocks.append(try Self.nextBlock(of: &fresh[run], reader) ?? .empty) }
    sources = fresh
    heads = RunHeads(blocks)
    hasStarted = true
  }

  /// Puts the first run's next block in the place of its last.
  @inline(never) private mutating func load(_ reader: Source.Reader) throws {
    let block = try Self.nextBlock(of: &sources[heads.first], reader)
    if let block {
      let last = heads.withHead(heads.first) { RowPlace(slot: $0.slot, key: Array($0.key)) }
      guard last.isBefore(block.place(block.rows.lowerBound)) else { throw RunBlockDamage.order }
    }
    heads.advance(to: block)
  }

  private static func nextBlock(of source: inout Source, _ reader: Source.Reader) throws -> RunBlock? {
    while let block = try source.next(reader) {
      if !block.rows.isEmpty { return block }
    }
    return nil
  }

  // MARK: Versions

  /// Gives a row of which there are several versions.
  @inline(never) private mutating func withMerged(_ body: (RunRow) throws -> Void) throws {
    let (runs, events) = heads.equals()
    given = runs.nonzeroBitCount
    let scratch = heads.isWhole(heads.first) ? nil : ownScratch()
    try heads.withHead(heads.first) { row in
      var row = row
      row.events = events
      guard let scratch else { return try body(row) }
      scratch.begin()
      var rest = runs
      while rest != 0, !row.isWhole {
        let run = rest.trailingZeroBitCount
        heads.withHead(run) { scratch.merge($0.state) }
        row.isWhole = heads.isWhole(run)
        rest &= rest &- 1
      }
      try scratch.withState { state in
        row.state = state
        try body(row)
      }
    }
  }

  /// The scratch of this copy alone.
  private mutating func ownScratch() -> MergeScratch {
    guard let layout else { preconditionFailure("partial versions are merged by their layout") }
    if isKnownUniquelyReferenced(&scratch), let scratch { return scratch }
    let fresh = MergeScratch(layout)
    scratch = fresh
    return fresh
  }
}

/// Where the states of one row are merged. It holds nothing from one row to the next.
///
/// `@unchecked Sendable`: a merge uses it only when it is the only one to refer to it; a copy of the merge makes its own.
private final class MergeScratch: @unchecked Sendable {
  private var states: StateRows
  private var words: [UInt64] = []

  init(_ layout: StateLayout) {
    states = StateRows(layout: layout, capacity: 1)
    states.append()
  }

  func begin() { states.reset(0) }

  func merge(_ state: UnsafeBufferPointer<UInt64>) { states.merge(into: 0, state) }

  func withState(_ body: (UnsafeBufferPointer<UInt64>) throws -> Void) rethrows {
    words.removeAll(keepingCapacity: true)
    states.appendCanonical(0, to: &words)
    try words.withUnsafeBufferPointer(body)
  }
}
