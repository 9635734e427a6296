/// The state of `rate(x)`: a counter's samples, all of them while there are at most 4,096.
///
/// The rate is the counter's increase from the first sample to the last over the seconds between them: null for fewer than two
/// samples, or when all have one time. Samples are ordered by event time, those of one time by value; where a value is smaller
/// than the previous one, the counter began anew from zero. Rows that merge put their samples into one order, so an increase
/// between two windows counts in their union.
///
/// Late and early events may come in any order, so samples are kept, not increases: a later one may lie between any two.
/// Exactness: exact for up to 4,096 different samples. With more, a row has slots of 2^level nanoseconds, aligned to the epoch,
/// at most 1,024 and as narrow as that allows, and keeps four samples of each: the first, the last, the smallest and the largest.
/// That is exact if in no slot a counter is reset twice, or climbs back to its value before a reset.
///
/// The state depends on the set of samples alone, so merging is exact: the number of samples and the number of slots of a width
/// only grow, so the level does, too; and a slot's four samples are extremes of orders, which are the same for a set and for the
/// extremes of its parts.
///
/// Source: resets as in Prometheus' `rate`; no extrapolation, as in `rate` of Timescale's `counter_agg`.
///
/// One word of the row's state: the handle of a block.
/// ```
/// header  samples · level, 0 while all are kept · slots, 0 while all are kept · 0
/// words   per sample, in order: time · value
/// ```
/// Canonical: the level, then the samples.
enum CounterRate {
  static let samplesMax = 4096
  static let slotsMax = 1024
  private static let slotSamplesMax = 4
  private static let sampleWords = 2
  static let tailWordsMax = 1 + samplesMax * sampleWords
  /// A tail with more samples is merged whole.
  private static let oneByOneMax = 8

  private typealias Words = UnsafeMutablePointer<UInt64>

  // MARK: samples

  @inline(__always) private static func time(_ words: UnsafePointer<UInt64>, _ index: Int) -> Int64 {
    Int64(bitPattern: words[index &* sampleWords])
  }

  @inline(__always) private static func value(_ words: UnsafePointer<UInt64>, _ index: Int) -> Double {
    Double(bitPattern: words[index &* sampleWords &+ 1])
  }

  private static func isSame(_ a: UnsafePointer<UInt64>, _ i: Int, _ b: UnsafePointer<UInt64>, _ j: Int) -> Bool {
    time(a, i) == time(b, j) && value(a, i) == value(b, j)
  }

  @inline(__always) private static func precedes(_ a: UnsafePointer<UInt64>, _ i: Int, _ b: UnsafePointer<UInt64>, _ j: Int)
    -> Bool
  {
    let (x, y) = (time(a, i), time(b, j))
    return x != y ? x < y : value(a, i) < value(b, j)
  }

  /// The position of the first sample that does not precede this one; most come in order, so the end is examined first.
  private static func place(of sample: UnsafePointer<UInt64>, in samples: UnsafePointer<UInt64>, _ count: Int) -> Int {
    guard count > 0, !precedes(samples, count - 1, sample, 0) else { return count }
    var low = 0, high = count - 1
    while low < high {
      let middle = (low + high) / 2
      if precedes(samples, middle, sample, 0) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: folding

  static func add(_ state: UnsafeMutablePointer<UInt64>, time: Int64, value: Double, _ arena: inout StateArena) {
    // Adding 0 makes −0 into 0.
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: sampleWords) { sample in
      (sample[0], sample[1]) = (UInt64(bitPattern: time), (value + 0).bitPattern)
      insert(state, sample.baseAddress.unsafelyUnwrapped, &arena)
    }
  }

  private static func insert(_ state: UnsafeMutablePointer<UInt64>, _ sample: UnsafePointer<UInt64>, _ arena: inout StateArena) {
    if state[0] == 0 { state[0] = arena.allocate(3) }
    let block = arena.block(state[0])
    let samples = UnsafePointer(block + StateArena.headerWords)
    let count = Int(block[0])
    let place = place(of: sample, in: samples, count)
    if place < count, isSame(samples, place, sample, 0) { return }
    if block[1] > 0 { return insert(state, intoSlot: sample, at: place, &arena) }
    guard count < samplesMax else { return insertWhole(state, sample, at: place, &arena) }
    splice(state, place..<place, with: sample, count: 1, &arena)
  }

  /// Inserts the sample into its slot, which keeps four.
  private static func insert(
    _ state: UnsafeMutablePointer<UInt64>, intoSlot sample: UnsafePointer<UInt64>, at place: Int, _ arena: inout StateArena
  ) {
    let block = arena.block(state[0])
    let samples = UnsafePointer(block + StateArena.headerWords)
    let slot = time(sample, 0) >> Int64(block[1])
    var (start, end) = (place, place)
    while start > 0, time(samples, start - 1) >> Int64(block[1]) == slot { start -= 1 }
    while end < Int(block[0]), time(samples, end) >> Int64(block[1]) == slot { end += 1 }
    guard start < end else {
      guard block[2] < UInt64(slotsMax) else { return insertWhole(state, sample, at: place, &arena) }
      block[2] += 1
      return splice(state, place..<place, with: sample, count: 1, &arena)
    }
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: (slotSamplesMax + 1) * sampleWords) { buffer in
      let all = buffer.baseAddress.unsafelyUnwrapped
      let before = (place - start) * sampleWords, after = (end - place) * sampleWords
      all.initialize(from: samples + start * sampleWords, count: before)
      (all + before).initialize(from: sample, count: sampleWords)
      (all + before + sampleWords).initialize(from: samples + place * sampleWords, count: after)
      let kept = keepExtremes(all, end - start + 1)
      splice(state, start..<end, with: all, count: kept, &arena)
    }
  }

  /// Inserts a sample where there is no room: slots begin, or widen.
  private static func insertWhole(
    _ state: UnsafeMutablePointer<UInt64>, _ sample: UnsafePointer<UInt64>, at place: Int, _ arena: inout StateArena
  ) {
    let block = arena.block(state[0])
    let samples = UnsafeBufferPointer(start: block + StateArena.headerWords, count: Int(block[0]) * sampleWords)
    var all = Array(samples[..<(place * sampleWords)])
    all.append(contentsOf: UnsafeBufferPointer(start: sample, count: sampleWords))
    all.append(contentsOf: samples[(place * sampleWords)...])
    replace(state, with: all, level: block[1], &arena)
  }

  /// Moves the first, the last, the smallest and the largest of ordered samples to their front.
  /// - Returns: Their number.
  private static func keepExtremes(_ samples: Words, _ count: Int) -> Int {
    guard count > 2 else { return count }
    var least = 0, most = 0
    for index in 1..<count {
      // Among equal values the earliest is the smallest and the latest the largest.
      if value(samples, index) < value(samples, least) { least = index }
      if value(samples, index) >= value(samples, most) { most = index }
    }
    var kept = 1
    for index in [min(least, most), max(least, most), count - 1] where index > 0 {
      guard !isSame(samples, index, samples, kept - 1) else { continue }
      (samples[kept * sampleWords], samples[kept * sampleWords + 1]) = (
        samples[index * sampleWords], samples[index * sampleWords + 1]
      )
      kept += 1
    }
    return kept
  }

  /// Replaces samples by others.
  private static func splice(
    _ state: UnsafeMutablePointer<UInt64>, _ range: Range<Int>, with new: UnsafePointer<UInt64>, count: Int,
    _ arena: inout StateArena
  ) {
    let total = Int(arena.block(state[0])[0]) - range.count + count
    reserve(state, samples: total, &arena)
    let block = arena.block(state[0])
    let samples = block + StateArena.headerWords
    let tail = (Int(block[0]) - range.upperBound) * sampleWords
    let start = samples + range.lowerBound * sampleWords
    if tail > 0, count != range.count {
      (start + count * sampleWords).update(from: samples + range.upperBound * sampleWords, count: tail)
    }
    start.update(from: new, count: count * sampleWords)
    block[0] = UInt64(total)
    assert(
      (max(range.lowerBound, 1)..<min(range.lowerBound + count + 1, total)).allSatisfy { precedes(samples, $0 - 1, samples, $0) },
      "samples stay in order")
  }

  private static func reserve(_ state: UnsafeMutablePointer<UInt64>, samples: Int, _ arena: inout StateArena) {
    let sizeClass = StateArena.sizeClass(forWords: samples * sampleWords)
    guard sizeClass > StateArena.sizeClass(of: state[0]) else { return }
    let fresh = arena.allocate(sizeClass)
    let block = arena.block(state[0])
    arena.block(fresh).update(from: block, count: StateArena.headerWords + Int(block[0]) * sampleWords)
    arena.release(state[0])
    state[0] = fresh
  }

  /// Replaces all samples by ordered ones, thinned to the room there is.
  private static func replace(_ state: UnsafeMutablePointer<UInt64>, with all: [UInt64], level: UInt64, _ arena: inout StateArena)
  {
    var all = all
    var level = level
    var slots = 0
    var count = all.count / sampleWords
    if level > 0 || count > samplesMax {
      all.withUnsafeMutableBufferPointer { all in
        let samples = all.baseAddress.unsafelyUnwrapped
        level = max(level, 1)
        while true {
          slots = slotCount(samples, count, level)
          guard slots > slotsMax else { break }
          level += 1
        }
        count = thin(samples, count, level)
      }
    }
    reserve(state, samples: count, &arena)
    let block = arena.block(state[0])
    (block[0], block[1], block[2]) = (UInt64(count), level, UInt64(slots))
    all.withUnsafeBufferPointer { all in
      guard let samples = all.baseAddress else { return }
      (block + StateArena.headerWords).update(from: samples, count: count * sampleWords)
      assert(
        (1..<max(count, 1)).allSatisfy { precedes(samples, $0 - 1, samples, $0) } && slots <= slotsMax && count <= samplesMax,
        "samples stay in order, and within their bounds")
    }
  }

  private static func slotCount(_ samples: UnsafePointer<UInt64>, _ count: Int, _ level: UInt64) -> Int {
    var slots = 0
    var last: Int64?
    for index in 0..<count {
      let slot = time(samples, index) >> Int64(level)
      if slot != last { slots += 1 }
      last = slot
    }
    return slots
  }

  /// Keeps four samples a slot, at the front.
  /// - Returns: Their number.
  private static func thin(_ samples: Words, _ count: Int, _ level: UInt64) -> Int {
    var kept = 0
    var start = 0
    while start < count {
      let slot = time(samples, start) >> Int64(level)
      var end = start + 1
      while end < count, time(samples, end) >> Int64(level) == slot { end += 1 }
      let ofSlot = keepExtremes(samples + start * sampleWords, end - start)
      if kept < start {
        (samples + kept * sampleWords).update(from: samples + start * sampleWords, count: ofSlot * sampleWords)
      }
      kept += ofSlot
      start = end
    }
    return kept
  }

  // MARK: canonical form

  static func appendTail(_ handle: UInt64, _ arena: borrowing StateArena, to words: inout [UInt64]) {
    let block = arena.block(handle)
    words.append(block[1])
    words.append(contentsOf: UnsafeBufferPointer(start: block + StateArena.headerWords, count: Int(block[0]) * sampleWords))
  }

  static func merge(_ state: UnsafeMutablePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, _ arena: inout StateArena) {
    guard let base = tail.baseAddress, tail.count > 1 else { return }
    if state[0] == 0 { state[0] = arena.allocate(3) }
    let level = max(arena.block(state[0])[1], tail[0])
    let others = base + 1
    let count = (tail.count - 1) / sampleWords
    if count <= oneByOneMax, level == arena.block(state[0])[1] {
      for index in 0..<count { insert(state, others + index * sampleWords, &arena) }
      return
    }
    let block = arena.block(state[0])
    replace(state, with: union(block + StateArena.headerWords, Int(block[0]), others, count), level: level, &arena)
  }

  /// Two ordered lists as one; a sample in both comes once.
  private static func union(_ a: UnsafePointer<UInt64>, _ aCount: Int, _ b: UnsafePointer<UInt64>, _ bCount: Int) -> [UInt64] {
    var all: [UInt64] = []
    all.reserveCapacity((aCount + bCount) * sampleWords)
    var (i, j) = (0, 0)
    while i < aCount || j < bCount {
      let isFirst = j == bCount || i < aCount && !precedes(b, j, a, i)
      if isFirst, j < bCount, i < aCount, isSame(a, i, b, j) { j += 1 }
      all.append(contentsOf: UnsafeBufferPointer(start: isFirst ? a + i * sampleWords : b + j * sampleWords, count: sampleWords))
      if isFirst { i += 1 } else { j += 1 }
    }
    return all
  }

  static func isValid(tail: UnsafeBufferPointer<UInt64>) -> Bool {
    if tail.isEmpty { return true }
    guard let base = tail.baseAddress, (1 + sampleWords...tailWordsMax).contains(tail.count), tail.count % sampleWords == 1,
      tail[0] < 64
    else { return false }
    let samples = base + 1
    let count = (tail.count - 1) / sampleWords
    for index in 0..<count {
      let number = value(samples, index)
      guard number.isFinite, number.bitPattern == (number + 0).bitPattern,
        index == 0 || precedes(samples, index - 1, samples, index)
      else { return false }
    }
    guard tail[0] > 0 else { return true }
    var all = Array(tail.dropFirst())
    return all.withUnsafeMutableBufferPointer { all in
      let samples = all.baseAddress.unsafelyUnwrapped
      return slotCount(samples, count, tail[0]) <= slotsMax && thin(samples, count, tail[0]) == count
    }
  }

  // MARK: results

  /// Nil where there are no two samples of different times.
  static func value(tail: UnsafeBufferPointer<UInt64>) -> Double? {
    guard let base = tail.baseAddress, tail.count > 1 else { return nil }
    let samples = base + 1
    let count = (tail.count - 1) / sampleWords
    // From reset to reset, so that small steps are not rounded one by one.
    var increase = 0.0
    var start = value(samples, 0)
    for index in 1..<max(count, 1) where value(samples, index) < value(samples, index - 1) {
      increase += value(samples, index - 1) - start
      start = 0
    }
    increase += value(samples, count - 1) - start
    let (nanoseconds, overflow) = time(samples, count - 1).subtractingReportingOverflow(time(samples, 0))
    guard nanoseconds > 0, !overflow else { return nil }
    let rate = increase / (Double(nanoseconds) / 1e9)
    return rate.isFinite ? rate : nil
  }
}
