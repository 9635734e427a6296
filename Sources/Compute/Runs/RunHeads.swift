import Views

/// The row that is next in each of several runs, and which of them is the first: a tree of losers, in which each inner node has
/// the run that lost there, so that a row costs one comparison a level.
///
/// Rows compare by slot, then by eight of their key's bytes, then by the whole key. Runs with equal rows compare by their number.
struct RunHeads: Sendable {
  private struct Head: Sendable {
    var slot: Int64 = .max
    /// Eight bytes of the key behind those that all keys share, big-endian, zeros where it is shorter.
    var prefix: UInt64 = .max
    /// Bytes of the key behind those that all keys share.
    var rest = 0
    var row = 0
    /// One past the last row of the run's block.
    var end = 0
    /// Whether another run's head is known to be the same row.
    var hasTie = false

    var isAtEnd: Bool { row == end }
  }

  private var heads: [Head]
  /// The runs' blocks; one without rows where there are no more.
  private var blocks: [RunBlock]
  private var losers: [Int]
  /// The run with the first row.
  private(set) var first = 0
  /// Runs that have rows left.
  private var count = 0
  /// Bytes with which all keys of all blocks begin.
  private var skipped = 0

  /// - Parameter blocks: The first block of each run, the newest run first; one without rows for a run that has none.
  init(_ blocks: [RunBlock]) {
    self.blocks = blocks
    heads = Array(repeating: Head(), count: blocks.count)
    losers = Array(repeating: 0, count: blocks.count)
    count = blocks.count { !$0.rows.isEmpty }
    for (run, block) in blocks.enumerated() { (heads[run].row, heads[run].end) = (block.rows.lowerBound, block.rows.upperBound) }
    skipped = sharedKeyBytes()
    for run in blocks.indices { readHead(run) }
    buildTree()
  }

  /// Whether no run has a row left.
  var isAtEnd: Bool { count == 0 }

  /// Whether another run's head is the same row as the first.
  @inline(__always) var hasTie: Bool { heads[first].hasTie }

  /// Whether the first run's head is the last row of its block.
  @inline(__always) var isLast: Bool { heads[first].row &+ 1 == heads[first].end }

  /// Gives a run's head to `body`.
  @inline(__always) func withHead<R>(_ run: Int, _ body: (RunRow) throws -> R) rethrows -> R {
    try blocks[run].withRow(heads[run].row, body)
  }

  // MARK: Moving

  /// Goes to the next row of the first run, within its block.
  @inline(__always) mutating func advance() {
    heads[first].row &+= 1
    // Without others there is nothing to compare.
    guard count > 1 else { return }
    readHead(first)
    replay(first)
  }

  /// Goes to the first run's next block.
  /// - Parameter block: Nil when the run has no more.
  mutating func advance(to block: RunBlock?) {
    let run = first
    if block == nil { count -= 1 }
    blocks[run] = block ?? .empty
    (heads[run].row, heads[run].end) = (blocks[run].rows.lowerBound, blocks[run].rows.upperBound)
    let shared = sharedKeyBytes()
    if shared != skipped {
      skipped = shared
      for other in heads.indices where other != run {
        let hasTie = heads[other].hasTie
        readHead(other)
        heads[other].hasTie = hasTie
      }
    }
    readHead(run)
    replay(run)
  }

  /// Bytes with which all keys of all blocks begin.
  private func sharedKeyBytes() -> Int {
    guard let some = blocks.firstIndex(where: { !$0.rows.isEmpty }) else { return 0 }
    return blocks[some].withKey(0) { key in
      blocks.reduce(blocks[some].sharedKeyBytes) { shared, block in
        block.rows.isEmpty ? shared : min(shared, block.sharedKeyBytes, block.withKey(0) { commonPrefix(key, $0) })
      }
    }
  }

  @inline(__always) private mutating func readHead(_ run: Int) {
    let row = heads[run].row
    heads[run].hasTie = false
    guard row < heads[run].end else {
      (heads[run].slot, heads[run].prefix) = (.max, .max)
      return
    }
    heads[run].slot = blocks[run].slot(row)
    let skipped = skipped
    (heads[run].prefix, heads[run].rest) = blocks[run].withKey(row) { key in
      (prefix(of: UnsafeRawBufferPointer(rebasing: key[skipped...])), key.count &- skipped)
    }
  }

  /// The first eight bytes as a number that compares as they do.
  @inline(__always) private func prefix(of key: UnsafeRawBufferPointer) -> UInt64 {
    if key.count >= 8 { return UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)) }
    var prefix: UInt64 = 0
    for index in 0..<key.count { prefix |= UInt64(key[index]) &<< UInt64(56 &- 8 &* index) }
    return prefix
  }

  // MARK: Comparing

  private mutating func buildTree() {
    let count = heads.count
    guard count > 1 else { return }
    var winners = Array(0..<count)
    winners.insert(contentsOf: repeatElement(0, count: count), at: 0)
    for node in (1..<count).reversed() {
      let (a, b) = (winners[2 * node], winners[2 * node + 1])
      let isA = wins(a, b)
      winners[node] = isA ? a : b
      losers[node] = isA ? b : a
    }
    first = winners[1]
  }

  @inline(__always) private mutating func replay(_ run: Int) {
    var winner = run
    var node = (run &+ heads.count) &>> 1
    while node > 0 {
      let loser = losers[node]
      if wins(loser, winner) {
        losers[node] = winner
        winner = loser
      }
      node &>>= 1
    }
    first = winner
  }

  /// Whether a run's head comes first. Notes it with the winner when both are the same row.
  @inline(__always) private mutating func wins(_ a: Int, _ b: Int) -> Bool {
    let x = heads[a], y = heads[b]
    if x.slot != y.slot { return x.slot < y.slot }
    if x.prefix != y.prefix { return x.prefix < y.prefix }
    return winsTie(a, b)
  }

  private mutating func winsTie(_ a: Int, _ b: Int) -> Bool {
    guard !heads[a].isAtEnd, !heads[b].isAtEnd else { return heads[b].isAtEnd }
    let order = keyOrder(a, b)
    if order == 0 { heads[min(a, b)].hasTie = true }
    return order == 0 ? a < b : order < 0
  }

  /// The order of two heads whose slot and prefix are the same.
  private func keyOrder(_ a: Int, _ b: Int) -> Int {
    let (x, y) = (heads[a].rest, heads[b].rest)
    // A key that ends within the prefix is followed by zeros there.
    if x <= 8, y <= 8 { return x - y }
    return blocks[a].withKey(heads[a].row) { key in
      blocks[b].withKey(heads[b].row) { other in PartialRows.keyOrder(key, other) }
    }
  }

  // MARK: Equal rows

  /// The runs that have the first row, a bit each, and the events of their versions. No run before the first one has it.
  func equals() -> (runs: UInt64, events: Int64) {
    var runs: UInt64 = 0
    var events: Int64 = 0
    let x = heads[first]
    for run in first..<heads.count {
      let y = heads[run]
      guard x.slot == y.slot, x.prefix == y.prefix, !y.isAtEnd, run == first || keyOrder(first, run) == 0 else { continue }
      runs |= 1 &<< UInt64(truncatingIfNeeded: run)
      events &+= blocks[run].events(y.row)
    }
    return (runs, events)
  }

  /// Whether a run's head takes the place of all older versions.
  @inline(__always) func isWhole(_ run: Int) -> Bool { blocks[run].isWhole(heads[run].row) }
}
