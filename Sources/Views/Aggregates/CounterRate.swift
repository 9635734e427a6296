/// What `rate(x)` keeps of a counter: the first and the last sample of each slot of time.
///
/// The rate is the counter's increase from the first sample to the last over the seconds between them: null for fewer than two samples, or when all are of
/// one time. The increase is the sum, over samples in the order of event time, of value − value before; where a value is smaller than the one before,
/// the counter began anew from zero, and the increase is the value itself. Rows that merge put their samples into one order, so what the counter rose
/// between two windows counts in their union.
///
/// Late and early events may come in any order, so samples are kept, not increases: two a slot. A slot is 1/64 of the window's length (of a session, of
/// its gap), aligned to the epoch; while a row has more than 512 slots they are joined in pairs. Exactness: exact for one or two samples a slot; of more, a
/// reset between the first and the last is seen when the last is smaller. What is kept depends on the samples alone, so merging is exact.
///
/// Source: resets as Prometheus' `rate`; no extrapolation, as `rate` of Timescale's `counter_agg`.
///
/// One word of the row's state: the handle of a block.
/// ```
/// header  slots · level · 0 · 0       a slot is 2^level times the width
/// words   per slot, in order: first time · offset + 1 · value, last time · offset + 1 · value
/// ```
/// Canonical: the level, then the slots.
enum CounterRate {
  static let slotsMax = 512
  private static let slotWords = 6
  static let tailWordsMax = 1 + slotsMax * slotWords
  static let slotsPerWindow: Int64 = 64

  static func add(
    _ state: UnsafeMutablePointer<UInt64>, time: Int64, offset: UInt64, value: Double, width: Int64, _ arena: inout StateArena
  ) {
    let sample = (UInt64(bitPattern: time), offset, (value + 0).bitPattern)
    insert(state, first: sample, last: sample, width: width, &arena)
  }

  private typealias Sample = (UInt64, UInt64, UInt64)

  private static func number(_ time: UInt64, _ width: Int64, _ level: UInt64) -> Int64 {
    let time = Int64(bitPattern: time)
    let slot = time / width - (time % width < 0 ? 1 : 0)
    return slot >> Int64(level)
  }

  private static func precedes(_ a: Sample, _ b: Sample) -> Bool {
    if a.0 != b.0 { return Int64(bitPattern: a.0) < Int64(bitPattern: b.0) }
    if a.1 != b.1 { return a.1 < b.1 }
    return Double(bitPattern: a.2) < Double(bitPattern: b.2)
  }

  private static func sample(_ words: UnsafePointer<UInt64>) -> Sample { (words[0], words[1], words[2]) }

  private static func put(_ words: UnsafeMutablePointer<UInt64>, _ sample: Sample) {
    (words[0], words[1], words[2]) = sample
  }

  private static func insert(
    _ state: UnsafeMutablePointer<UInt64>, first: Sample, last: Sample, width: Int64, _ arena: inout StateArena
  ) {
    if state[0] == 0 { state[0] = arena.allocate(4) }
    var block = arena.block(state[0])
    var slots = block + StateArena.headerWords
    let wanted = number(first.0, width, block[1])
    var index = Int(block[0])
    // Most samples come in order: from the end.
    while index > 0, number(slots[(index - 1) * slotWords], width, block[1]) > wanted { index -= 1 }
    if index > 0, case let slot = slots + (index - 1) * slotWords, number(slot[0], width, block[1]) == wanted {
      return join(slot, first, last)
    }
    let count = Int(block[0])
    let sizeClass = StateArena.sizeClass(forWords: (count + 1) * slotWords)
    if sizeClass > StateArena.sizeClass(of: state[0]) {
      let fresh = arena.allocate(sizeClass)
      arena.block(fresh).update(from: arena.block(state[0]), count: StateArena.headerWords + count * slotWords)
      arena.release(state[0])
      state[0] = fresh
      block = arena.block(fresh)
      slots = block + StateArena.headerWords
    }
    let place = slots + index * slotWords
    (place + slotWords).update(from: place, count: (count - index) * slotWords)
    put(place, first)
    put(place + 3, last)
    block[0] += 1
    while block[0] > UInt64(slotsMax) { widen(block, to: block[1] + 1, width) }
  }

  private static func join(_ slot: UnsafeMutablePointer<UInt64>, _ first: Sample, _ last: Sample) {
    if precedes(first, sample(slot)) { put(slot, first) }
    if precedes(sample(slot + 3), last) { put(slot + 3, last) }
  }

  private static func widen(_ block: UnsafeMutablePointer<UInt64>, to level: UInt64, _ width: Int64) {
    let slots = block + StateArena.headerWords
    block[1] = level
    var kept = 0
    for index in 0..<Int(block[0]) {
      let slot = slots + index * slotWords
      if kept > 0, number(slots[(kept - 1) * slotWords], width, level) == number(slot[0], width, level) {
        join(slots + (kept - 1) * slotWords, sample(slot), sample(slot + 3))
      } else {
        if kept < index { (slots + kept * slotWords).update(from: slot, count: slotWords) }
        kept += 1
      }
    }
    block[0] = UInt64(kept)
  }

  static func appendTail(_ handle: UInt64, _ arena: borrowing StateArena, to words: inout [UInt64]) {
    let block = arena.block(handle)
    words.append(block[1])
    words.append(
      contentsOf: UnsafeBufferPointer(start: block + StateArena.headerWords, count: Int(block[0]) * slotWords))
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, width: Int64, _ arena: inout StateArena
  ) {
    guard let base = tail.baseAddress, tail.count > 1 else { return }
    if state[0] == 0 { state[0] = arena.allocate(4) }
    if arena.block(state[0])[1] < tail[0] { widen(arena.block(state[0]), to: tail[0], width) }
    for start in stride(from: 1, to: tail.count, by: slotWords) {
      insert(state, first: sample(base + start), last: sample(base + start + 3), width: width, &arena)
    }
  }

  static func isValid(tail: UnsafeBufferPointer<UInt64>, width: Int64) -> Bool {
    if tail.isEmpty { return true }
    guard (1 + slotWords...tailWordsMax).contains(tail.count), tail.count % slotWords == 1, tail[0] < 64 else { return false }
    var last = Int64.min
    for start in stride(from: 1, to: tail.count, by: slotWords) {
      let first = (tail[start], tail[start + 1], tail[start + 2])
      let final = (tail[start + 3], tail[start + 4], tail[start + 5])
      let slot = number(first.0, width, tail[0])
      guard slot > last || start == 1, slot == number(final.0, width, tail[0]), !precedes(final, first),
        Double(bitPattern: first.2).isFinite, Double(bitPattern: final.2).isFinite
      else { return false }
      last = slot
    }
    return true
  }

  /// Nil where there are no two samples of different times.
  static func value(tail: UnsafeBufferPointer<UInt64>) -> Double? {
    guard let base = tail.baseAddress, tail.count > 1 else { return nil }
    var increase = 0.0
    var before: Sample?
    for start in stride(from: 1, to: tail.count, by: 3) {
      let sample = sample(base + start)
      if let before {
        let (from, to) = (Double(bitPattern: before.2), Double(bitPattern: sample.2))
        increase += to < from ? to : to - from
      }
      before = sample
    }
    let from = Int64(bitPattern: tail[1]), to = Int64(bitPattern: tail[tail.count - 3])
    let (nanoseconds, overflow) = to.subtractingReportingOverflow(from)
    guard nanoseconds > 0, !overflow else { return nil }
    let rate = increase / (Double(nanoseconds) / 1e9)
    return rate.isFinite ? rate : nil
  }
}
