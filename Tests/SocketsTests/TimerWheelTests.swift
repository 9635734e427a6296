import TestSupport
import Testing

@testable import Sockets

@Suite("The timer wheel")
struct TimerWheelTests {
  @Test("gives each key once, never before its deadline and at most a tick after", arguments: 0..<20)
  func everyDeadline(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var now: UInt64 = 1_000_000_007
    var wheel = TimerWheel(now: now)
    var deadlines: [UInt64: (deadline: UInt64, tick: UInt64)] = [:]
    var key: UInt64 = 0
    for _ in 0..<400 {
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        // From at once to four turns of the wheel.
        let deadline = now + UInt64.random(in: 0...20_000_000_000, using: &random)
        deadlines[key] = (deadline, wheel.insert(key, deadline: deadline))
        key += 1
      }
      let last = now
      // Sometimes later than a whole turn.
      now += UInt64.random(in: 0...(Int.random(in: 0..<20, using: &random) == 0 ? 9_000_000_000 : 300_000_000), using: &random)
      var due: [TimerWheel.Entry] = []
      wheel.advance(to: now, &due)
      for entry in due {
        guard let set = deadlines.removeValue(forKey: entry.key) else {
          Issue.record("\(entry.key) was given twice, seed \(seed)")
          continue
        }
        #expect(entry.tick == set.tick, "seed \(seed)")
        #expect(set.deadline <= now && set.deadline + TimerWheel.tickNanoseconds > last, "seed \(seed)")
      }
      for (key, set) in deadlines where set.deadline + TimerWheel.tickNanoseconds <= now {
        Issue.record("\(key) is overdue, seed \(seed)")
      }
      #expect(wheel.count == deadlines.count, "seed \(seed)")
      if let next = wheel.nextDeadline(), let first = deadlines.values.map(\.deadline).min() {
        #expect(next <= max(first, now) + TimerWheel.tickNanoseconds, "seed \(seed)")
      } else {
        #expect(deadlines.isEmpty, "seed \(seed)")
      }
    }
  }

  @Test("without entries there is nothing to wait for")
  func empty() {
    var wheel = TimerWheel(now: 5)
    #expect(wheel.nextDeadline() == nil)
    var due: [TimerWheel.Entry] = []
    wheel.advance(to: 1 << 60, &due)
    #expect(due.isEmpty)
    #expect(wheel.insert(1, deadline: 0) > (1 << 60) / TimerWheel.tickNanoseconds)
  }
}
