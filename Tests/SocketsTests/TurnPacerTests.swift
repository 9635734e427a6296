#if os(Linux)
  import Testing

  @testable import Sockets

  @Suite("The pacing of turns")
  struct TurnPacerTests {
    @Test("one connection that waits for each answer is never held up")
    func alone() {
      var pacer = TurnPacer(now: 0), now: UInt64 = 0
      for _ in 0..<10_000 {
        now += 100_000
        #expect(pacer.pause(ready: 1, now: now) == 0)
      }
    }

    @Test("many that are ready one after the other are gathered, and no longer once they are few")
    func gathers() {
      var pacer = TurnPacer(now: 0), now: UInt64 = 0, pauses = 0
      for _ in 0..<2_000 {
        now += 50_000
        let pause = pacer.pause(ready: 2, now: now)
        if pause > 0 { pauses += 1 }
        now += pause
        // Work came in meanwhile.
        if pause > 0 { now += 50_000 }
      }
      #expect(pauses > 100)
      now += 20_000_000
      #expect(pacer.pause(ready: 3, now: now) == 0)
    }

    @Test("a turn that is large anyway is followed by the next at once")
    func large() {
      var pacer = TurnPacer(now: 0), now: UInt64 = 0
      for _ in 0..<100 {
        now += 2_000_000
        #expect(pacer.pause(ready: TurnPacer.readyMax, now: now) == 0)
      }
      #expect(pacer.rate > TurnPacer.rateMin)
    }

    @Test("a clock that has not moved is no infinite rate")
    func standing() {
      var pacer = TurnPacer(now: 7)
      _ = pacer.pause(ready: 3, now: 7)
      #expect(pacer.rate.isFinite)
    }
  }
#endif
