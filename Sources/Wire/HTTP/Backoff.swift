import Events

/// The wait before a retry: it doubles from 20 ms to a maximum; a random part of it, between half and all, is waited.
struct Backoff {
  private let longest: Int64
  private var next: Int64 = 20_000_000

  init(longest: Duration = .seconds(1)) {
    self.longest = longest.nanosecondsHeld
  }

  mutating func delay() -> Duration {
    let full = min(next, longest)
    next = min(next * 2, longest)
    return .nanoseconds(Int64.random(in: full / 2...full))
  }

  mutating func reset() { next = 20_000_000 }
}
