/// Deadlines by the tick they fall in: setting one costs the same however many there are.
///
/// A hashed wheel: a slot holds the entries of every tick that is equal modulo the number of slots, so an entry further away than
/// a turn of the wheel is looked at once a turn. An entry stays when its owner no longer wants it: the owner knows its own
/// deadline, and ignores entries that `advance` gives in vain. Keys are small and owners set few deadlines, so this is cheaper
/// than searching.
struct TimerWheel {
  static let tickNanoseconds: UInt64 = 10_000_000
  /// A power of two: 5.12 s a turn.
  static let slotCount = 512

  struct Entry: Equatable {
    var key: UInt64
    var tick: UInt64
  }

  private var slots = [[Entry]](repeating: [], count: TimerWheel.slotCount)
  /// All ticks up to this one have been given out.
  private var lastTick: UInt64
  private(set) var count = 0

  /// - Parameter now: Nanoseconds of a clock that only rises.
  init(now: UInt64) { lastTick = now / TimerWheel.tickNanoseconds }

  /// - Returns: The tick at which `advance` gives `key`: the first that is not before `deadline`, and not one that has passed.
  mutating func insert(_ key: UInt64, deadline: UInt64) -> UInt64 {
    let tick = max(lastTick + 1, (deadline + TimerWheel.tickNanoseconds - 1) / TimerWheel.tickNanoseconds)
    slots[slot(of: tick)].append(Entry(key: key, tick: tick))
    count += 1
    return tick
  }

  /// Takes out the entries that are due.
  mutating func advance(to now: UInt64, _ due: inout [Entry]) {
    let tick = now / TimerWheel.tickNanoseconds
    guard tick > lastTick else { return }
    defer { lastTick = tick }
    guard count > 0 else { return }
    for passed in (lastTick + 1)...min(tick, lastTick + UInt64(TimerWheel.slotCount)) {
      let slot = slot(of: passed)
      guard !slots[slot].isEmpty else { continue }
      let before = due.count
      slots[slot].removeAll { entry in
        guard entry.tick <= tick else { return false }
        due.append(entry)
        return true
      }
      count -= due.count - before
    }
  }

  /// When to call `advance` next: nil without entries; else at most a turn of the wheel from now, even if nothing is due by then.
  func nextDeadline() -> UInt64? {
    guard count > 0 else { return nil }
    for ahead in 1...UInt64(TimerWheel.slotCount) where !slots[slot(of: lastTick + ahead)].isEmpty {
      return (lastTick + ahead) * TimerWheel.tickNanoseconds
    }
    return nil
  }

  private func slot(of tick: UInt64) -> Int { Int(truncatingIfNeeded: tick) & (TimerWheel.slotCount - 1) }
}
