/// Counts of values in bins whose bounds lie within 1 % of each other: a DDSketch, from which every quantile is read.
///
/// Exactness: the relative error of a quantile is at most 1 % (0.99 %; among denormals one of their steps more), whatever the
/// values; the smallest and the largest value are exact, and so are quantiles of a constant. A row has at most 4,096 bins beside
/// zero: values that span a factor of 10³⁵, or any that fall into that many. Beyond it the bins nearest to zero count as zero.
/// The state depends on the values alone, not on their order, so merging is exact. Negative values have bins of their own.
///
/// Source: C. Masson, J. Rim, H. Lee, "DDSketch", VLDB 2019; the cubic approximation of the logarithm is that of its authors'
/// libraries. It is made of additions and multiplications only, so every machine puts a value into the same bin.
///
/// One word of the row's state: the handle of a block.
/// ```
/// header  bins · smallest value · largest value (doubles) · 0
/// words   open addressing: bin << 46 | count, 0 for none
/// ```
/// Canonical: smallest, largest, then the bins in the order of their values.
enum QuantileSketch: BlockCell, NumberCell {
  static let binsMax = 4096
  /// In memory there may be more, so that bins are seldom given up; the canonical form has `binsMax`.
  private static let liveBinsMax = 6000
  /// Bins for a doubling, 0.7 / ln((1 + a) / (1 − a)) for a relative error a of 0.99 %: see `position(of:)` for the 0.7.
  private static let multiplier = 35.36
  private static let countBits: UInt64 = 46
  private static let countMask: UInt64 = 1 << countBits - 1
  private static let zeroKey: UInt64 = 1 << 17
  static let tailWordsMax = 2 + binsMax + 1

  // MARK: bins

  /// About log2 of a positive value: right at powers of two, between them a cubic whose slope, as a function of ln(value), is
  /// 10/7 at least.
  @inline(__always) private static func position(of magnitude: Double) -> Double {
    var bits = magnitude.bitPattern
    var exponent = Double(Int(truncatingIfNeeded: bits &>> 52) &- 1023)
    if bits < 1 &<< 52 {
      bits = (magnitude * 0x1p54).bitPattern
      exponent = Double(Int(truncatingIfNeeded: bits &>> 52) &- 1023 &- 54)
    }
    let part = Double(bitPattern: bits & (1 &<< 52 &- 1) | 1023 &<< 52) - 1
    return ((6.0 / 35 * part - 3.0 / 5) * part + 10.0 / 7) * part + exponent
  }

  /// Keys have the order of their bins' values.
  @inline(__always) private static func key(of value: Double) -> UInt64 {
    guard value != 0 else { return zeroKey }
    // Positive, so cutting off the fraction rounds down.
    let index = UInt64(position(of: value.magnitude) * multiplier + 65536)
    return value < 0 ? 131_071 &- index : zeroKey | index
  }

  /// The inverse of `position` for a bin's lower bound: significand and exponent.
  private static func bound(_ index: Int) -> (significand: Double, exponent: Int) {
    let position = (Double(index) - 65536) / multiplier
    let exponent = position.rounded(.down)
    let wanted = position - exponent
    var low = 0.0, high = 1.0
    for _ in 0..<52 {
      let part = (low + high) / 2
      if ((6.0 / 35 * part - 3.0 / 5) * part + 10.0 / 7) * part < wanted { low = part } else { high = part }
    }
    return (1 + low, Int(exponent))
  }

  /// Within the same relative distance of both of the bin's bounds.
  private static func value(ofKey key: UInt64) -> Double {
    if key == zeroKey { return 0 }
    let index = Int(key > zeroKey ? key & (zeroKey - 1) : 131_071 - key)
    let (low, exponent) = bound(index)
    let next = bound(index + 1)
    let high = next.exponent > exponent ? next.significand * 2 : next.significand
    let value = Double(sign: .plus, exponent: exponent, significand: 2 * low * high / (low + high))
    return key > zeroKey ? value : -value
  }

  /// The distance from zero: bins are given up in this order.
  private static func rank(_ key: UInt64) -> UInt64 {
    key > zeroKey ? (key & (zeroKey - 1)) << 1 | 1 : (131_071 - key) << 1
  }

  // MARK: folding

  @inline(__always) static func add(_ state: UnsafeMutablePointer<UInt64>, _ value: Double, _ arena: inout StateArena) {
    if state[0] == 0 { begin(state, &arena) }
    let block = arena.block(state[0])
    if value < Double(bitPattern: block[1]) { block[1] = (value + 0).bitPattern }
    if value > Double(bitPattern: block[2]) { block[2] = (value + 0).bitPattern }
    let key = key(of: value)
    let sizeClass = UInt64(StateArena.sizeClass(of: state[0]))
    let slots = block + StateArena.headerWords
    let mask = 1 &<< Int(sizeClass) &- 1
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) &>> (64 &- sizeClass))
    while case let entry = slots[slot], entry != 0 {
      if entry &>> countBits == key {
        if entry & countMask != countMask { slots[slot] = entry &+ 1 }
        return
      }
      slot = (slot &+ 1) & mask
    }
    addBin(state, key, 1, &arena)
  }

  private static func begin(_ state: UnsafeMutablePointer<UInt64>, _ arena: inout StateArena) {
    state[0] = arena.allocate(3)
    arena.block(state[0])[1] = Double.infinity.bitPattern
    arena.block(state[0])[2] = (-Double.infinity).bitPattern
  }

  /// Adds to a bin, which is made if it is not there.
  @inline(never) private static func addBin(
    _ state: UnsafeMutablePointer<UInt64>, _ key: UInt64, _ count: UInt64, _ arena: inout StateArena
  ) {
    let sizeClass = StateArena.sizeClass(of: state[0])
    let block = arena.block(state[0])
    let slots = block + StateArena.headerWords
    let slot = find(slots, sizeClass, key)
    if slots[slot] != 0 {
      let total = Swift.min(slots[slot] & countMask + count, countMask)
      slots[slot] = key << countBits | total
      return
    }
    slots[slot] = key << countBits | count
    block[0] += 1
    if block[0] > UInt64(liveBinsMax) {
      trim(block, sizeClass)
    } else if block[0] * 4 > UInt64(3 << sizeClass) {
      grow(state, sizeClass + 1, &arena)
    }
  }

  private static func find(_ slots: UnsafeMutablePointer<UInt64>, _ sizeClass: Int, _ key: UInt64) -> Int {
    let mask = 1 << sizeClass - 1
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) &>> UInt64(64 - sizeClass))
    while slots[slot] != 0, slots[slot] >> countBits != key { slot = (slot + 1) & mask }
    return slot
  }

  private static func grow(_ state: UnsafeMutablePointer<UInt64>, _ sizeClass: Int, _ arena: inout StateArena) {
    let old = state[0]
    let fresh = arena.allocate(sizeClass)
    let from = arena.block(old), to = arena.block(fresh)
    to.update(from: from, count: StateArena.headerWords)
    for index in 0..<(1 << StateArena.sizeClass(of: old)) {
      let entry = from[StateArena.headerWords + index]
      guard entry != 0 else { continue }
      let slots = to + StateArena.headerWords
      slots[find(slots, sizeClass, entry >> countBits)] = entry
    }
    arena.release(old)
    state[0] = fresh
    assert(isSound(to, sizeClass), "every bin moved, once")
  }

  /// Every bin is found where it lies, has values, and is counted; what `trim` and `grow` keep to.
  private static func isSound(_ block: UnsafeMutablePointer<UInt64>, _ sizeClass: Int) -> Bool {
    let slots = block + StateArena.headerWords
    let bins = (0..<(1 << sizeClass)).filter { slots[$0] != 0 }
    return bins.count == Int(block[0]) && Double(bitPattern: block[1]) <= Double(bitPattern: block[2])
      && bins.allSatisfy { slots[$0] & countMask > 0 && find(slots, sizeClass, slots[$0] >> countBits) == $0 }
  }

  /// Values in all bins.
  private static func total(_ block: UnsafePointer<UInt64>, _ sizeClass: Int) -> UInt64 {
    (0..<(1 << sizeClass)).reduce(0) { $0 + block[StateArena.headerWords + $1] & countMask }
  }

  private static func trim(_ block: UnsafeMutablePointer<UInt64>, _ sizeClass: Int) {
    var before: UInt64 = 0
    assert(
      {
        before = total(block, sizeClass); return true
      }(), "only in debug builds")
    let slots = block + StateArena.headerWords
    let kept = kept((0..<(1 << sizeClass)).compactMap { slots[$0] == 0 ? nil : slots[$0] })
    slots.update(repeating: 0, count: 1 << sizeClass)
    for entry in kept { slots[find(slots, sizeClass, entry >> countBits)] = entry }
    block[0] = UInt64(kept.count)
    assert(isSound(block, sizeClass) && (total(block, sizeClass) == before || before > countMask), "no value is lost")
  }

  /// The bins that stay; if there are too many, those nearest to zero count as zero.
  private static func kept(_ entries: [UInt64]) -> [UInt64] {
    var others = entries.filter { $0 >> countBits != zeroKey }
    guard others.count > binsMax else { return entries }
    others.sort { rank($0 >> countBits) > rank($1 >> countBits) }
    var zeros: UInt64 = 0
    for entry in others[binsMax...] + entries.filter({ $0 >> countBits == zeroKey }) {
      zeros = Swift.min(zeros + entry & countMask, countMask)
    }
    return others[..<binsMax] + [zeroKey << countBits | zeros]
  }

  // MARK: canonical form

  static func appendTail(_ handle: UInt64, _ arena: borrowing StateArena, to words: inout [UInt64]) {
    let block = arena.block(handle)
    words.append(block[1])
    words.append(block[2])
    let slots = block + StateArena.headerWords
    words += kept((0..<(1 << StateArena.sizeClass(of: handle))).compactMap { slots[$0] == 0 ? nil : slots[$0] }).sorted()
  }

  static func merge(_ state: UnsafeMutablePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, _ arena: inout StateArena) {
    guard tail.count > 2 else { return }
    if state[0] == 0 { begin(state, &arena) }
    let block = arena.block(state[0])
    block[1] = Swift.min(Double(bitPattern: block[1]), Double(bitPattern: tail[0])).bitPattern
    block[2] = Swift.max(Double(bitPattern: block[2]), Double(bitPattern: tail[1])).bitPattern
    var expected: UInt64 = 0
    assert(
      {
        expected = tail[2...].reduce(total(block, StateArena.sizeClass(of: state[0]))) { $0 + $1 & countMask }; return true
      }(), "only in debug builds")
    for entry in tail[2...] { addBin(state, entry >> countBits, entry & countMask, &arena) }
    let merged = arena.block(state[0])
    assert(isSound(merged, StateArena.sizeClass(of: state[0])), "the bins are sound")
    assert(expected > countMask || total(merged, StateArena.sizeClass(of: state[0])) == expected, "no value is lost")
  }

  static func isValid(tail: UnsafeBufferPointer<UInt64>) -> Bool {
    if tail.isEmpty { return true }
    guard (3...tailWordsMax).contains(tail.count), Double(bitPattern: tail[0]).isFinite, Double(bitPattern: tail[1]).isFinite,
      Double(bitPattern: tail[0]) <= Double(bitPattern: tail[1])
    else { return false }
    var last: UInt64?
    for entry in tail[2...] {
      let key = entry >> countBits
      // A double's bin, or zero's.
      let isBin = key == zeroKey || (20_000...110_000).contains(key > zeroKey ? key - zeroKey : 131_071 &- key)
      guard entry & countMask > 0, isBin, last.map({ $0 < key }) ?? true else { return false }
      last = key
    }
    return true
  }

  /// The value at rank `q · (n − 1)`, rounded to the nearest rank.
  static func quantile(_ q: Double, tail: UnsafeBufferPointer<UInt64>) -> Double? {
    guard tail.count > 2 else { return nil }
    let least = Double(bitPattern: tail[0]), most = Double(bitPattern: tail[1])
    var total: UInt64 = 0
    for entry in tail[2...] { total &+= entry & countMask }
    let rank = UInt64((q * Double(total - 1)).rounded())
    if rank == 0 { return least }
    if rank >= total - 1 { return most }
    var seen: UInt64 = 0
    for entry in tail[2...] {
      seen += entry & countMask
      if seen > rank { return Swift.min(Swift.max(value(ofKey: entry >> countBits), least), most) }
    }
    return most
  }
}
