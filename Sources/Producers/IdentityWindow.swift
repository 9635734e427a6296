import Events

/// A 128-bit digest of (source, id), from the batch.
package struct IdentityDigest: Hashable {
  package var high: UInt64
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// The (source, id) digests appended within the dedup window, the oldest first: a ring in order of age, and a set over it.
///
/// An identity's age is counted from the append time of its batch in the log, so a window rebuilt from the log is the
/// same. At most 24 bytes an identity.
package struct IdentityWindow {
  package static let identitiesRange = 1...1 << 24

  /// `count` identities in a row that were appended at one time.
  package struct Run: Hashable {
    package var appendTime: Timestamp
    package var count: Int
  }

  private let window: Int64
  private let identitiesMax: Int
  package private(set) var count = 0
  /// Identities dropped early because of `identitiesMax`.
  package private(set) var forgottenEarly = 0

  /// Its length is a power of two; only the `count` elements from `oldest` on are valid.
  private var ring: [IdentityDigest] = []
  private var oldest = 0
  /// The index in the ring + 1, 0 where empty. Linear probing, at most half full.
  private var slots: [UInt32] = []
  private var runs: [Run] = []
  private var oldestRun = 0
  /// Keeps a sender from choosing ids that share a slot of the hash table.
  private let seed = UInt64.random(in: .min ... .max)

  /// - Parameters:
  ///   - window: How long identities are remembered.
  ///   - identitiesMax: In `identitiesRange`.
  package init(window: Duration, identitiesMax: Int) {
    precondition(IdentityWindow.identitiesRange.contains(identitiesMax))
    self.window = window.nanosecondsHeld
    self.identitiesMax = identitiesMax
  }

  /// Forgets identities appended `window` or more before `now`.
  package mutating func expire(at now: Timestamp) {
    let (difference, overflow) = now.nanoseconds.subtractingReportingOverflow(window)
    let cutoff = overflow ? Int64.min : difference
    while oldestRun < runs.count, runs[oldestRun].appendTime.nanoseconds <= cutoff { forgetOldest(runs[oldestRun].count) }
  }

  package func contains(_ identity: IdentityDigest) -> Bool {
    guard count > 0 else { return false }
    var slot = firstSlot(identity)
    while slots[slot] != 0 {
      if ring[Int(slots[slot]) - 1] == identity { return true }
      slot = (slot + 1) & (slots.count - 1)
    }
    return false
  }

  /// Remembers an identity.
  /// - Parameter appendTime: Not before that of any inserted earlier.
  /// - Returns: False when it is remembered already; then nothing changes.
  package mutating func insert(_ identity: IdentityDigest, at appendTime: Timestamp) -> Bool {
    if contains(identity) { return false }
    if count == identitiesMax {
      forgetOldest(1)
      forgottenEarly += 1
    }
    if count == ring.count { grow() }
    let place = (oldest + count) & (ring.count - 1)
    ring[place] = identity
    count += 1
    occupy(identity, place)
    if oldestRun < runs.count, runs[runs.count - 1].appendTime == appendTime {
      runs[runs.count - 1].count += 1
    } else {
      runs.append(Run(appendTime: appendTime, count: 1))
    }
    assert(isCanonical, "identities are remembered once, in order of age")
    return true
  }

  /// The remembered identities, oldest first.
  package var remembered: (runs: ArraySlice<Run>, identities: [IdentityDigest]) {
    (runs[oldestRun...], (0..<count).map { ring[(oldest + $0) & (ring.count - 1)] })
  }

  /// Whether ring, slots and runs say the same; looked at whole while they are small.
  private var isCanonical: Bool {
    guard count <= 128 else { return count <= identitiesMax && count <= ring.count }
    let runs = runs[oldestRun...]
    return count <= identitiesMax && slots.count == ring.count * 2 && slots.count { $0 != 0 } == count
      && runs.reduce(0) { $0 + $1.count } == count && runs.allSatisfy { $0.count > 0 }
      && zip(runs, runs.dropFirst()).allSatisfy { $0.appendTime < $1.appendTime }
      && remembered.identities.allSatisfy(contains)
  }

  private func firstSlot(_ identity: IdentityDigest) -> Int {
    Int(truncatingIfNeeded: mixed(identity.low ^ mixed(identity.high ^ seed))) & (slots.count - 1)
  }

  private mutating func occupy(_ identity: IdentityDigest, _ place: Int) {
    var slot = firstSlot(identity)
    while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
    slots[slot] = UInt32(place + 1)
  }

  private mutating func forgetOldest(_ number: Int) {
    for _ in 0..<number {
      vacate(ring[oldest], oldest)
      oldest = (oldest + 1) & (ring.count - 1)
      count -= 1
      runs[oldestRun].count -= 1
      if runs[oldestRun].count == 0 { oldestRun += 1 }
    }
    assert(number == 1 || isCanonical, "identities are remembered once, in order of age")
    // Amortised: the front is cut off once it is half of the array.
    if oldestRun * 2 > runs.count {
      runs.removeFirst(oldestRun)
      oldestRun = 0
    }
  }

  /// Empties an identity's slot of the hash table, and moves those behind it up so that no probe meets a gap. Source:
  /// Knuth, TAOCP 3, 6.4, algorithm R.
  private mutating func vacate(_ identity: IdentityDigest, _ place: Int) {
    let mask = slots.count - 1
    var gap = firstSlot(identity)
    while slots[gap] != UInt32(place + 1) { gap = (gap + 1) & mask }
    var slot = gap
    while true {
      slot = (slot + 1) & mask
      guard slots[slot] != 0 else { break }
      let home = firstSlot(ring[Int(slots[slot]) - 1])
      // A digest may move into the gap only if its home does not lie behind the gap.
      if (slot - home) & mask >= (slot - gap) & mask {
        slots[gap] = slots[slot]
        gap = slot
      }
    }
    slots[gap] = 0
  }

  private mutating func grow() {
    let kept = remembered.identities
    let capacity = max(64, ring.count * 2)
    ring = kept + Array(repeating: IdentityDigest(high: 0, low: 0), count: capacity - kept.count)
    oldest = 0
    slots = Array(repeating: 0, count: capacity * 2)
    for (place, identity) in kept.enumerated() { occupy(identity, place) }
  }
}
