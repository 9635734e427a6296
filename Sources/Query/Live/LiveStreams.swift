import Events
import Synchronization

/// The streams there are, and what those that ended had sent, so that a reader who comes back gets what changed and not all anew.
final class LiveStreams: Sendable {
  /// Ended streams that are remembered.
  static let endedMax = 64
  static let endedLifetime: Duration = .seconds(60)

  struct Ended: Sendable {
    /// Of the query, and the generation.
    var query: String
    var asOf: OffsetVector
    var rows: LiveRows
    var at: ContinuousClock.Instant
  }

  private struct State {
    var count = 0
    var ended: [Ended] = []
  }

  private let streamsMax: Int
  private let state = Mutex(State())
  let drain = DrainSignal()

  init(streamsMax: Int) { self.streamsMax = streamsMax }

  /// Room for a stream, given back when it is let go.
  func open() throws(QueryFailure) -> LiveSlot {
    let hasRoom = state.withLock { state in
      guard state.count < streamsMax else { return false }
      state.count += 1
      return true
    }
    guard hasRoom else {
      throw QueryFailure(
        503, "too_many_streams", "\(streamsMax) streams are open, which is the most there may be", headers: ["Retry-After": "5"])
    }
    return LiveSlot(self)
  }

  var count: Int { state.withLock { $0.count } }

  fileprivate func close(_ ended: Ended?) {
    state.withLock { state in
      state.count -= 1
      guard let ended, ended.rows.count > 0 else { return }
      state.ended.append(ended)
      if state.ended.count > LiveStreams.endedMax { state.ended.removeFirst() }
    }
  }

  /// What a stream of this query had sent when it was as of these offsets.
  func rows(of query: String, asOf: OffsetVector, now: ContinuousClock.Instant = .now) -> LiveRows? {
    state.withLock { state in
      state.ended.removeAll { now - $0.at > LiveStreams.endedLifetime }
      return state.ended.last { $0.query == query && $0.asOf == asOf }?.rows
    }
  }
}

/// A stream's place among those there may be.
final class LiveSlot: Sendable {
  private let streams: LiveStreams
  private let last = Mutex<LiveStreams.Ended?>(nil)

  fileprivate init(_ streams: LiveStreams) { self.streams = streams }

  deinit { streams.close(last.withLock { $0 }) }

  /// What has been sent by now.
  func note(_ query: String, _ asOf: OffsetVector, _ rows: LiveRows) {
    last.withLock { $0 = LiveStreams.Ended(query: query, asOf: asOf, rows: rows, at: .now) }
  }
}
