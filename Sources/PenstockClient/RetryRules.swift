import NIOCore

/// Rules for whether and when to retry a lost or refused connection: the table of docs/protocol.md.
enum RetryRules {
  /// Whether a later handshake may succeed after this status: the server is busy or starting, or a proxy lacks its server.
  static func isTriedAgain(status: UInt) -> Bool {
    switch status {
    case 408, 425, 429, 500...599: true
    default: false
    }
  }

  /// The client's reaction to a close frame of the server.
  enum AfterClose: Hashable {
    /// A retry with the same messages, or the same token, would end the same way.
    case end
    /// Retry, but not sooner than this.
    case retry(after: TimeAmount)
  }

  /// - Parameter close: The close code; nil where there was none.
  static func after(close: UInt16?) -> AfterClose {
    switch close {
    case 1002, 1003, 1007, 1008, 1009, 1010, 4001: .end
    // The server is overloaded, or its disk full: that does not pass within moments.
    case 1013: .retry(after: .seconds(5))
    default: .retry(after: .zero)
    }
  }

  /// The time that a `Retry-After` header asks for; zero where there is none, or a date. At most an hour.
  static func retryAfter(_ text: String?) -> TimeAmount {
    guard let text, !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return .zero }
    return .seconds(min(Int64(text) ?? 3600, 3600))
  }
}

/// The time since a connection was last good, and the tries since. It ends with the next acknowledgement, not with the next
/// connection: a server that accepts and closes at once is still out of reach.
struct Outage {
  /// After this long, a connection that had nothing to send counts as good all the same.
  static let steadyAfter = TimeAmount.seconds(5)

  private let longest: TimeAmount?
  private let pauseLeast: Int64
  private let pauseMost: Int64
  private var since: NIODeadline?
  private var tries = 0

  init(_ configuration: DeviceClientConfiguration) {
    longest = configuration.retryFor.map { .nanoseconds(Int64($0 / .nanoseconds(1))) }
    pauseLeast = Int64(configuration.backoffMin / .nanoseconds(1))
    pauseMost = Int64(configuration.backoffMax / .nanoseconds(1))
  }

  /// A connection was good.
  mutating func end() {
    since = nil
    tries = 0
  }

  func duration(at now: NIODeadline) -> TimeAmount { since.map { now - $0 } ?? .zero }

  /// Called when a try has failed, or a connection was lost.
  /// - Parameter least: The pause that the server asks for.
  /// - Returns: The wait before the next try: a random time of at least half of the doubled pause, and at least `least`. Nil when
  ///   the outage has lasted as long as it may; the last try is made at the end of that.
  mutating func pause(at now: NIODeadline, least: TimeAmount, using random: inout SeededGenerator) -> TimeAmount? {
    let since = since ?? now
    self.since = since
    let left = longest.map { $0 - (now - since) }
    if let left, left <= .zero { return nil }
    let full = max(1, min(pauseMost, pauseLeast << Int64(min(tries, 20))))
    tries += 1
    let least = least.nanoseconds
    let wait = max(Int64.random(in: full / 2...full, using: &random), least + Int64.random(in: 0...least / 5, using: &random))
    return .nanoseconds(min(wait, left?.nanoseconds ?? wait))
  }
}
