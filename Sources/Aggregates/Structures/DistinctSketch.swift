import Events

/// A set of distinct values: their 64-bit hashes while there are at most 1,024, else a HyperLogLog of 2^14 registers.
///
/// Exactness: up to 1,024 values exact, except for hashes that collide (one chance in 3·10¹³); beyond, the standard error is 0.81
/// %. The state depends on the set of values alone, so merging is exact. An int and the double equal to it are one value; true, 1
/// and "1" are three.
///
/// Source: S. Heule, M. Nunkesser, A. Hall, "HyperLogLog in Practice", EDBT 2013 (64-bit hashes, sparse while small); the
/// estimate is that of O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs no table of
/// corrections.
///
/// One word of the row's state: the handle of a block.
/// ```
/// header  hashes, or 2^63 for registers · 0 · 0 · 0
/// words   hashes by open addressing, 0 for none; or 16,384 registers of a byte
/// ```
/// Canonical: the hashes in order, or 2,048 words of registers.
enum DistinctSketch {
  static let exactMax = 1024
  private static let precision: UInt64 = 14
  private static let registers = 1 << 14
  static let denseWords = registers / 8
  private static let denseClass = StateArena.sizeClass(forWords: denseWords)
  private static let dense: UInt64 = 1 << 63

  // MARK: hashes

  /// The same on every machine. Nil for a value that is no scalar.
  @inline(__always) static func hash(_ kind: ValueKind, _ bits: UInt64, _ string: StringReader) -> UInt64? {
    switch kind {
    case .int: return hash(bits, tag: 1)
    case .double:
      let value = Double(bitPattern: bits)
      guard value.isFinite else { return nil }
      if let whole = Int64(exactly: value) { return hash(UInt64(bitPattern: whole), tag: 1) }
      return hash(bits, tag: 2)
    case .uint:
      // One value with the double equal to it, as an int is.
      let nearest = Double(bits)
      return UInt64(exactly: nearest) == bits ? hash(nearest.bitPattern, tag: 2) : hash(bits, tag: 6)
    case .bool: return hash(bits, tag: 3)
    case .time: return hash(bits, tag: 4)
    case .string:
      var result: UInt64 = 0
      string(Int(truncatingIfNeeded: bits)) { result = hash(stableHash($0), tag: 5) }
      return result
    case .missing, .error, .null, .raw, .object: return nil
    }
  }

  @inline(__always) private static func hash(_ value: UInt64, tag: UInt64) -> UInt64 {
    let mixed = mix(mix(value &+ tag &* 0x9E37_79B9_7F4A_7C15) ^ tag)
    return mixed == 0 ? 1 : mixed
  }

  /// Source: D. Stafford's variant 13 of MurmurHash3's finaliser, as in splitmix64.
  @inline(__always) private static func mix(_ value: UInt64) -> UInt64 {
    var z = (value ^ value &>> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z &>> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z &>> 31
  }

  // MARK: folding

  @inline(__always) static func add(_ state: UnsafeMutablePointer<UInt64>, hash: UInt64, _ arena: inout StateArena) {
    if state[0] == 0 { state[0] = arena.allocate(3) }
    let block = arena.block(state[0])
    let words = block + StateArena.headerWords
    guard block[0] < dense else { return raise(words, hash) }
    let sizeClass = StateArena.sizeClass(of: state[0])
    let slot = find(words, sizeClass, hash)
    guard words[slot] == 0 else { return }
    words[slot] = hash
    block[0] += 1
    if block[0] > UInt64(exactMax) {
      makeDense(state, &arena)
    } else if block[0] * 4 > UInt64(3 << sizeClass) {
      grow(state, sizeClass + 1, &arena)
    }
  }

  @inline(__always) private static func find(_ words: UnsafeMutablePointer<UInt64>, _ sizeClass: Int, _ hash: UInt64) -> Int {
    let mask = 1 &<< sizeClass &- 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while words[slot] != 0, words[slot] != hash { slot = (slot &+ 1) & mask }
    return slot
  }

  private static func grow(_ state: UnsafeMutablePointer<UInt64>, _ sizeClass: Int, _ arena: inout StateArena) {
    let old = state[0]
    let fresh = arena.allocate(sizeClass)
    let from = arena.block(old), to = arena.block(fresh)
    to[0] = from[0]
    let slots = to + StateArena.headerWords
    for index in 0..<(1 << StateArena.sizeClass(of: old)) where from[StateArena.headerWords + index] != 0 {
      let hash = from[StateArena.headerWords + index]
      slots[find(slots, sizeClass, hash)] = hash
    }
    arena.release(old)
    state[0] = fresh
    assert(isSound(to, sizeClass), "every hash moved, once")
  }

  /// Every hash is found where it lies, and is counted.
  private static func isSound(_ block: UnsafeMutablePointer<UInt64>, _ sizeClass: Int) -> Bool {
    let words = block + StateArena.headerWords
    let hashes = (0..<(1 << sizeClass)).filter { words[$0] != 0 }
    return hashes.count == Int(block[0]) && hashes.count <= exactMax
      && hashes.allSatisfy { find(words, sizeClass, words[$0]) == $0 }
  }

  private static func makeDense(_ state: UnsafeMutablePointer<UInt64>, _ arena: inout StateArena) {
    let old = state[0]
    let fresh = arena.allocate(denseClass)
    let from = arena.block(old), to = arena.block(fresh)
    for index in 0..<(1 << StateArena.sizeClass(of: old)) where from[StateArena.headerWords + index] != 0 {
      raise(to + StateArena.headerWords, from[StateArena.headerWords + index])
    }
    to[0] = dense
    arena.release(old)
    state[0] = fresh
  }

  /// The register of the first 14 bits becomes at least one more than the number of leading zeros of the other 50.
  @inline(__always) private static func raise(_ words: UnsafeMutablePointer<UInt64>, _ hash: UInt64) {
    let register = Int(truncatingIfNeeded: hash &>> (64 &- precision))
    let rank = UInt8(truncatingIfNeeded: (hash &<< precision | 1 &<< (precision &- 1)).leadingZeroBitCount &+ 1)
    // Little-endian on every machine: register r is byte r % 8 of word r / 8.
    let shift = UInt64(truncatingIfNeeded: register & 7) &* 8
    let word = words[register &>> 3]
    if UInt8(truncatingIfNeeded: word &>> shift) < rank {
      words[register &>> 3] = word & ~(0xFF &<< shift) | UInt64(rank) &<< shift
    }
  }

  // MARK: canonical form

  static func appendTail(_ handle: UInt64, _ arena: borrowing StateArena, to words: inout [UInt64]) {
    let block = arena.block(handle)
    if block[0] >= dense {
      words.append(contentsOf: UnsafeBufferPointer(start: block + StateArena.headerWords, count: denseWords))
      return
    }
    let start = words.count
    for index in 0..<(1 << StateArena.sizeClass(of: handle)) where block[StateArena.headerWords + index] != 0 {
      words.append(block[StateArena.headerWords + index])
    }
    words[start...].sort()
  }

  static func merge(_ state: UnsafeMutablePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, _ arena: inout StateArena) {
    guard tail.count == denseWords else {
      for hash in tail { add(state, hash: hash, &arena) }
      return
    }
    if state[0] == 0 { state[0] = arena.allocate(3) }
    if arena.block(state[0])[0] < dense { makeDense(state, &arena) }
    let words = arena.block(state[0]) + StateArena.headerWords
    for index in 0..<denseWords where tail[index] != words[index] {
      var merged: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        merged |= Swift.max(words[index] >> shift & 0xFF, tail[index] >> shift & 0xFF) << shift
      }
      words[index] = merged
    }
  }

  static func isValid(tail: UnsafeBufferPointer<UInt64>) -> Bool {
    if tail.count == denseWords {
      return tail.allSatisfy { word in stride(from: UInt64(0), to: 64, by: 8).allSatisfy { word >> $0 & 0xFF <= 51 } }
    }
    guard tail.count <= exactMax else { return false }
    return tail.indices.allSatisfy { tail[$0] > ($0 == 0 ? 0 : tail[$0 - 1]) }
  }

  static func count(tail: UnsafeBufferPointer<UInt64>) -> Int64 {
    guard tail.count == denseWords else { return Int64(tail.count) }
    var histogram = [Int](repeating: 0, count: 52)
    for word in tail {
      for shift in stride(from: UInt64(0), to: 64, by: 8) { histogram[Int(word >> shift & 0xFF)] += 1 }
    }
    return Int64(estimate(histogram).rounded())
  }

  /// Ertl's improved raw estimate, from the number of registers of each rank.
  private static func estimate(_ histogram: [Int]) -> Double {
    let m = Double(registers)
    var z = m * tau(1 - Double(histogram[51]) / m)
    for rank in stride(from: 50, through: 1, by: -1) { z = 0.5 * (z + Double(histogram[rank])) }
    z += m * sigma(Double(histogram[0]) / m)
    return 0.5 / 0.693_147_180_559_945_309_4 * m * m / z
  }

  private static func sigma(_ value: Double) -> Double {
    guard value < 1 else { return .infinity }
    var x = value, y = 1.0, z = value
    while true {
      x *= x
      let before = z
      z += x * y
      y += y
      if z == before { return z }
    }
  }

  private static func tau(_ value: Double) -> Double {
    guard value > 0, value < 1 else { return 0 }
    var x = value, y = 1.0, z = 1 - value
    while true {
      x.formSquareRoot()
      let before = z
      y *= 0.5
      z -= (1 - x) * (1 - x) * y
      if z == before { return z / 3 }
    }
  }
}
