/// Finds sources by their hashes: open addressing, eight bytes a slot, at least 0.56 of them taken.
///
/// A slot holds 32 bits of hash and the source's number plus one; 0 is free. Slots are in the order of hashes, but for what
/// linear probing puts behind: so a larger table is filled in one pass from front to back, and may be larger by a quarter only.
struct SourceSlots: Sendable {
  private var slots = [UInt64](repeating: 0, count: 64)
  private(set) var count = 0

  var byteCount: Int { slots.capacity * 8 + 32 }

  /// The place of the first slot from `place` on that has the hash or is free.
  @inline(__always) private static func seek(_ slots: UnsafeBufferPointer<UInt64>, _ hash: UInt32, from place: Int) -> Int {
    var place = place
    while true {
      let slot = slots[place]
      if slot == 0 || slot &>> 32 == UInt64(hash) { return place }
      place = place &+ 1 == slots.count ? 0 : place &+ 1
    }
  }

  @inline(__always) private static func home(_ hash: UInt32, _ count: Int) -> Int {
    Int(truncatingIfNeeded: (UInt64(hash) &* UInt64(truncatingIfNeeded: count)) &>> 32)
  }

  /// - Parameter isIt: Whether the source of this number, whose hash is equal, is the one looked for.
  /// - Returns: Its number; nil when there is none.
  @inline(__always) func find(_ hash: UInt32, _ isIt: (Int) -> Bool) -> Int? {
    slots.withUnsafeBufferPointer { slots in
      var place = SourceSlots.seek(slots, hash, from: SourceSlots.home(hash, slots.count))
      while slots[place] != 0 {
        let number = Int(truncatingIfNeeded: slots[place] & 0xFFFF_FFFF) &- 1
        if isIt(number) { return number }
        place = SourceSlots.seek(slots, hash, from: place &+ 1 == slots.count ? 0 : place &+ 1)
      }
      return nil
    }
  }

  /// The first source of each hash, −1 where there is none: many look-ups at a time, so that their cache misses overlap.
  /// - Parameter numbers: Gets them, behind those that it has.
  func findFirst(_ hashes: ArraySlice<UInt32>, into numbers: inout [Int32]) {
    slots.withUnsafeBufferPointer { slots in
      for hash in hashes {
        let slot = slots[SourceSlots.seek(slots, hash, from: SourceSlots.home(hash, slots.count))]
        numbers.append(Int32(truncatingIfNeeded: slot & 0xFFFF_FFFF) &- 1)
      }
    }
  }

  /// Adds a source that is not there.
  mutating func insert(_ hash: UInt32, _ number: Int) {
    precondition(number < Int(Int32.max), "a partition's sources have numbers of 31 bits")
    if (count + 1) * 10 > slots.count * 7 { grow() }
    put(UInt64(hash) &<< 32 | UInt64(number + 1))
    count += 1
  }

  private mutating func put(_ slot: UInt64) {
    slots.withUnsafeMutableBufferPointer { slots in
      var place = SourceSlots.home(UInt32(slot &>> 32), slots.count)
      while slots[place] != 0 { place = place &+ 1 == slots.count ? 0 : place &+ 1 }
      slots[place] = slot
    }
  }

  private mutating func grow() {
    let old = slots
    slots = [UInt64](repeating: 0, count: old.count + old.count / 4)
    for slot in old where slot != 0 { put(slot) }
  }
}
