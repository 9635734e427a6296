import Events
import Synchronization

/// The open streams, their memory, and the rows that ended streams had sent, so that a reader who comes back gets the
/// changes and not all rows anew.
///
/// When there is no more room for streams, or for their memory, the stream whose reader has taken nothing longest is ended.
final class LiveStreams: Sendable {
  /// The most ended streams that are remembered.
  static let endedMax = 64
  static let endedLifetime: Duration = .seconds(60)
  /// A reader that has had a piece for this long without asking for the next may have to give way.
  static let stallMin: Duration = .seconds(1)
  fileprivate static let worthGivingBack = 32 << 20
  /// Streams that read at a time.
  private static let readsAtOnce = 4

  struct Ended: Sendable {
    var query: String
    var asOf: OffsetVector
    var rows: LiveRows
    var at: ContinuousClock.Instant
  }

  fileprivate struct Stream {
    var bytes = 0
    /// The time since when its reader has a piece and has not asked for the next.
    var gaveAt: ContinuousClock.Instant?
    var cut: (@Sendable () -> Void)?
  }

  fileprivate struct State {
    var next = 0
    var open: [Int: Stream] = [:]
    var openBytes = 0
    var endedBytes = 0
    /// The oldest first.
    var ended: [Ended] = []
    var isTidying = false
    /// The most bytes held since memory was last given back.
    var peak = 0

    var bytes: Int { openBytes + endedBytes }
  }

  private let streamsMax: Int
  private let streamBytesMax: Int
  private let bytesMax: Int
  private let state = Mutex(State())
  let turns = ReadTurns(atOnce: LiveStreams.readsAtOnce)
  let drain = DrainSignal()

  /// - Parameters:
  ///   - streamBytesMax: The most bytes that one stream holds.
  ///   - bytesMax: The most bytes that all hold together.
  init(streamsMax: Int, streamBytesMax: Int = 32 << 20, bytesMax: Int = 128 << 20) {
    self.streamsMax = streamsMax
    self.streamBytesMax = streamBytesMax
    self.bytesMax = bytesMax
  }

  var count: Int { state.withLock { $0.open.count } }

  /// The approximate bytes held.
  var bytes: Int { state.withLock { $0.bytes } }

  /// Room for a stream, freed with the returned value.
  func open(now: ContinuousClock.Instant = .now) throws(QueryFailure) -> LiveSlot {
    let (number, cut) = state.withLock { state -> (Int?, (@Sendable () -> Void)?) in
      var cut: (@Sendable () -> Void)?
      if state.open.count >= streamsMax {
        guard let stalled = state.longestStalled(now) else { return (nil, nil) }
        cut = state.remove(stalled)?.cut
      }
      state.next += 1
      state.open[state.next] = Stream()
      return (state.next, cut)
    }
    cut?()
    guard let number else {
      throw QueryFailure(
        503, "too_many_streams", "\(streamsMax) streams are open, which is the most there may be", headers: ["Retry-After": "5"])
    }
    return LiveSlot(self, number)
  }

  /// The rows that a stream of this query had sent as of these offsets.
  func rows(of query: String, asOf: OffsetVector, now: ContinuousClock.Instant = .now) -> LiveRows? {
    state.withLock { state in
      state.forgetEnded(before: now - LiveStreams.endedLifetime)
      return state.ended.last { $0.query == query && $0.asOf == asOf }?.rows
    }
  }

  // MARK: of a slot

  fileprivate func hold(_ bytes: Int, _ number: Int, now: ContinuousClock.Instant) throws(QueryFailure) {
    guard bytes <= streamBytesMax else {
      throw QueryFailure(
        422, "too_many_rows",
        "this stream would hold \(bytes) bytes, and one may hold \(streamBytesMax) (query.stream_bytes_max): narrow it by from, to, where or group_by"
      )
    }
    let (fits, cuts) = state.withLock { state -> (Bool, [@Sendable () -> Void]) in
      var cuts: [@Sendable () -> Void] = []
      state.setBytes(bytes, of: number)
      while state.bytes > bytesMax {
        if !state.ended.isEmpty {
          state.forgetOldest()
        } else if let stalled = state.longestStalled(now, but: number) {
          if let cut = state.remove(stalled)?.cut { cuts.append(cut) }
        } else {
          return (false, cuts)
        }
      }
      return (true, cuts)
    }
    for cut in cuts { cut() }
    guard fits else {
      throw QueryFailure(
        503, "too_many_streams", "live streams hold \(bytesMax) bytes, which is the most they may (query.streams_bytes_max)",
        headers: ["Retry-After": "5"])
    }
  }

  fileprivate func note(_ number: Int, _ change: (inout ContinuousClock.Instant?, inout (@Sendable () -> Void)?) -> Void) {
    state.withLock { state in
      guard var stream = state.open[number] else { return }
      change(&stream.gaveAt, &stream.cut)
      state.open[number] = stream
    }
  }

  fileprivate func gave(_ number: Int, bytes: Int, now: ContinuousClock.Instant) {
    state.withLock { state in
      state.open[number]?.gaveAt = now
      state.setBytes(bytes, of: number)
    }
  }

  fileprivate func close(_ number: Int, _ ended: Ended?) {
    let (tidies, trims) = state.withLock { state -> (Bool, Bool) in
      _ = state.remove(number)
      guard let ended, ended.rows.count > 0, state.bytes + ended.rows.bytes <= bytesMax else { return (false, state.hasShrunk()) }
      state.ended.append(ended)
      state.endedBytes += ended.rows.bytes
      if state.ended.count > LiveStreams.endedMax { state.forgetOldest() }
      defer { state.isTidying = true }
      return (!state.isTidying, state.hasShrunk())
    }
    if tidies { tidyLater() }
    if trims { FreedMemory.giveBack() }
  }

  /// Forgets ended streams when their time is over, even if nobody asks again.
  private func tidyLater() {
    Task { [weak self] in
      do { try await Task.sleep(for: LiveStreams.endedLifetime) } catch { return }
      self?.tidy()
    }
  }

  private func tidy() {
    let (goesOn, trims) = state.withLock { state in
      state.forgetEnded(before: .now - LiveStreams.endedLifetime)
      state.isTidying = !state.ended.isEmpty
      return (state.isTidying, state.hasShrunk())
    }
    if goesOn { tidyLater() }
    if trims { FreedMemory.giveBack() }
  }
}

extension LiveStreams.State {
  fileprivate func longestStalled(_ now: ContinuousClock.Instant, but number: Int? = nil) -> Int? {
    let stalled = open.filter { $0.key != number && $0.value.gaveAt.map { $0 + LiveStreams.stallMin <= now } ?? false }
    return stalled.min { ($0.value.gaveAt ?? now, $0.key) < ($1.value.gaveAt ?? now, $1.key) }?.key
  }

  fileprivate mutating func setBytes(_ bytes: Int, of number: Int) {
    guard let stream = open[number] else { return }
    openBytes += bytes - stream.bytes
    open[number]?.bytes = bytes
    peak = max(peak, self.bytes)
  }

  /// Whether so much less is held than at the peak that the free memory is worth giving back.
  fileprivate mutating func hasShrunk() -> Bool {
    guard peak >= LiveStreams.worthGivingBack, bytes <= peak / 4 else { return false }
    peak = bytes
    return true
  }

  fileprivate mutating func remove(_ number: Int) -> LiveStreams.Stream? {
    guard let stream = open.removeValue(forKey: number) else { return nil }
    openBytes -= stream.bytes
    return stream
  }

  fileprivate mutating func forgetOldest() { endedBytes -= ended.removeFirst().rows.bytes }

  fileprivate mutating func forgetEnded(before time: ContinuousClock.Instant) {
    while let first = ended.first, first.at < time { forgetOldest() }
  }
}

/// The permit of one open stream.
final class LiveSlot: Sendable {
  private let streams: LiveStreams
  private let number: Int
  private let last = Mutex<LiveStreams.Ended?>(nil)

  fileprivate init(_ streams: LiveStreams, _ number: Int) {
    self.streams = streams
    self.number = number
  }

  deinit { streams.close(number, last.withLock { $0 }) }

  /// Notes the rows sent so far.
  func note(_ query: String, _ asOf: OffsetVector, _ rows: LiveRows) {
    last.withLock { $0 = LiveStreams.Ended(query: query, asOf: asOf, rows: rows, at: .now) }
  }

  /// Sets how the stream is ended when it has to give way.
  func attach(cut: @escaping @Sendable () -> Void) { streams.note(number) { $1 = cut } }

  /// Sets the bytes that the stream holds.
  /// - Throws: When that is more than the bound; the stream has to end.
  func hold(_ bytes: Int, now: ContinuousClock.Instant = .now) throws(QueryFailure) {
    try streams.hold(bytes, number, now: now)
  }

  /// The reader has a piece of this many bytes and the stream holds the rest.
  func gave(_ bytes: Int, of rest: Int) { streams.gave(number, bytes: bytes + rest, now: .now) }

  /// The reader has taken its piece.
  func taken() { streams.note(number) { gaveAt, _ in gaveAt = nil } }
}
