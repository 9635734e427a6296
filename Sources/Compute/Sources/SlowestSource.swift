/// Which of the active sources of a partition has the smallest time, without a look at all of them.
///
/// Each block of 256 sources has a lower bound of the times of its active sources. Times only rise, so a bound stays one; a
/// source that appends lowers its block's bound to its own time where that is less, for it may have been idle. A question
/// computes the blocks anew whose bounds are below the answer. So a block is looked at again only after its slowest source has
/// moved on or gone idle.
struct SlowestSource: Sendable {
  /// The smallest time of the sources that memory let go of, and the latest append time.
  struct LetGo: Sendable, Hashable {
    var time: Int64
    var lastAppendTime: Int64
  }

  /// The bound of each block; the largest number for a block without active sources.
  private var bounds: [Int64] = []
  /// Sources that appended before this are idle. It never falls: an idle source becomes active by appending only.
  private(set) var threshold = Int64.min
  private var letGo: LetGo?

  init(threshold: Int64 = .min, letGo: LetGo? = nil) {
    self.threshold = threshold
    self.letGo = letGo
  }

  var byteCount: Int { bounds.capacity * 8 }

  /// A source has appended, or was added.
  @inline(__always) mutating func note(_ number: Int, time: Int64) {
    let block = number &>> 8
    if block == bounds.count { bounds.append(time) } else if time < bounds[block] { bounds[block] = time }
  }

  /// Sources are in the file only, from now on. One time is kept for all of them.
  mutating func leave(_ sources: LetGo) {
    guard sources.lastAppendTime >= threshold else { return }
    letGo = LetGo(
      time: min(letGo?.time ?? .max, sources.time), lastAppendTime: max(letGo?.lastAppendTime ?? .min, sources.lastAppendTime))
  }

  /// The bound of the sources that memory let go of; nil when there are none, or all of them are idle.
  var ofLetGo: LetGo? { letGo }

  /// The smallest time of the sources in `table` that appended at `threshold` or later, and of those let go of.
  /// - Parameter threshold: A lower one than asked for before counts as that one.
  mutating func time(in table: SourceTable, since threshold: Int64) -> Int64? {
    self.threshold = max(self.threshold, threshold)
    if let known = letGo, known.lastAppendTime < self.threshold { letGo = nil }
    var slowest = letGo?.time ?? .max
    // The block with the smallest bound comes first: as a rule its slowest source is the answer.
    if let first = bounds.indices.min(by: { bounds[$0] < bounds[$1] }) { lower(&slowest, by: first, table) }
    for block in bounds.indices where bounds[block] < slowest { lower(&slowest, by: block, table) }
    return slowest == .max ? nil : slowest
  }

  private mutating func lower(_ slowest: inout Int64, by block: Int, _ table: SourceTable) {
    var bound = Int64.max
    for record in table.blocks[block].records where record.lastAppendTime >= threshold { bound = min(bound, record.time) }
    bounds[block] = bound
    slowest = min(slowest, bound)
  }
}
