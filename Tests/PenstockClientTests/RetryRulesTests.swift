import NIOCore
import Testing

@testable import PenstockClient

@Suite("Retries after a failed connection")
struct RetryRulesTests {
  @Test("a status that may pass is tried again, any other is not", arguments: 100...599)
  func statuses(_ status: UInt) {
    let passing: Set<UInt> = [408, 425, 429]
    #expect(RetryRules.isTriedAgain(status: status) == (passing.contains(status) || status >= 500))
  }

  @Test("a close for what the client did ends it, overload is waited for, all else is tried again")
  func closes() {
    for code: UInt16 in [1002, 1003, 1007, 1008, 1009, 1010, 4001] { #expect(RetryRules.after(close: code) == .end) }
    for code: UInt16? in [nil, 1000, 1001, 1005, 1006, 1011, 1012, 1014, 4000] {
      #expect(RetryRules.after(close: code) == .retry(after: .zero), "\(code ?? 0)")
    }
    #expect(RetryRules.after(close: 1013) == .retry(after: .seconds(5)))
  }

  @Test(
    "Retry-After counts where it is seconds",
    arguments: [
      ("3", 3), ("0", 0), ("", 0), ("-1", 0), ("1.5", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("99999999999999999999", 3600),
    ])
  func retryAfter(_ text: String, _ seconds: Int64) { #expect(RetryRules.retryAfter(text) == .seconds(seconds)) }

  @Test(
    "pauses double up to their most, half of each by chance, until the outage has lasted as long as it may",
    arguments: 0..<20 as Range<UInt64>)
  func pauses(_ seed: UInt64) throws {
    var configuration = DeviceClientConfiguration(port: 1, seed: seed)
    configuration.retryFor = .seconds(60)
    var outage = Outage(configuration)
    var random = SeededGenerator(seed: seed)
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    let start = now
    var full = TimeAmount.milliseconds(100)
    while let pause = outage.pause(at: now, least: .zero, using: &random) {
      let left = .seconds(60) - (now - start)
      #expect(pause <= min(full, left), "seed \(seed)")
      #expect(pause >= min(.nanoseconds(full.nanoseconds / 2), left), "seed \(seed)")
      now = now + pause
      full = min(full * 2, .seconds(30))
    }
    #expect(now - start == .seconds(60), "the last try is at the end")
    outage.end()
    let again = try #require(outage.pause(at: now, least: .zero, using: &random))
    #expect(again <= .milliseconds(100))
  }

  @Test("what the server asks for is waited, whatever the tries", arguments: 0..<20 as Range<UInt64>)
  func asked(_ seed: UInt64) throws {
    var outage = Outage(DeviceClientConfiguration(port: 1, seed: seed))
    var random = SeededGenerator(seed: seed)
    let pause = try #require(outage.pause(at: .now(), least: .seconds(5), using: &random))
    #expect(pause >= .seconds(5) && pause <= .seconds(6))
  }
}
