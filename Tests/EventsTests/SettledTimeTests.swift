import Events
import Synchronization
import Testing

@Suite("A clock that a jump does not move")
struct SettledTimeTests {
  private static let second: Int64 = 1_000_000_000

  @Test("goes on through a jump that does not last, and follows one that does")
  func jumps() {
    let clocks = Mutex((wall: 1000 * Self.second, steady: Int64(7)))
    func pass(_ seconds: Int64) {
      clocks.withLock { ($0.wall, $0.steady) = ($0.wall + seconds * Self.second, $0.steady + seconds * Self.second) }
    }
    func jump(_ seconds: Int64) { clocks.withLock { $0.wall += seconds * Self.second } }
    let clock = SettledClock(
      wall: { Timestamp(nanoseconds: clocks.withLock { $0.wall }) }, steady: { clocks.withLock { $0.steady } },
      confirmation: 600 * Self.second)
    func now() -> Int64 { clock.now().nanoseconds / Self.second }
    pass(5)
    #expect(now() == 1005)
    for there in [86_400, -86_400] as [Int64] {
      let before = now()
      jump(there)
      #expect(now() == before)
      pass(3)
      #expect(now() == before + 3)
      jump(-there)
      #expect(now() == before + 3)
    }
    let before = now()
    jump(86_400)
    #expect(now() == before)
    pass(599)
    #expect(now() == before + 599)
    pass(1)
    #expect(now() == before + 600 + 86_400)
  }
}
