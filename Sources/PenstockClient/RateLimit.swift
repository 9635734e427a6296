/// A token bucket: a number of events a second, with a burst of a twentieth of a second's events, or one message.
struct RateLimit {
  private let eventsPerSecond: Double
  private let burst: Double
  private var tokens: Double
  private var last = ContinuousClock.now

  /// - Parameter eventsPerSecond: A number above 0.
  init(eventsPerSecond: Double, batch: Int) {
    precondition(eventsPerSecond > 0, "a rate is above 0")
    self.eventsPerSecond = eventsPerSecond
    burst = max(Double(batch), eventsPerSecond / 20)
    tokens = Double(batch)
  }

  /// Takes a token for each event, and says how long to wait before sending; nil for not at all.
  mutating func take(_ events: Int) -> Duration? {
    let now = ContinuousClock.now
    tokens = min(burst, tokens + (now - last) / .seconds(1) * eventsPerSecond)
    last = now
    tokens -= Double(events)
    return tokens < 0 ? .seconds(-tokens / eventsPerSecond) : nil
  }
}
