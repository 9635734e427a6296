/// Whether a peer is still there: judged at each heartbeat by what was heard of it, and by what it took of what it was sent.
///
/// A peer whose messages are not taken at the moment still has to be heard: its pongs stand behind them. So while reading pauses, a little more
/// is read at each beat, and kept. A peer that has filled that as well is heard no more, and is given up as any silent one.
struct PeerWatch {
  /// Beats without a byte from the peer, or without one taken by it, after which it is given up.
  static let beatsMax = 2
  /// Read at a beat to hear a peer whose messages are not taken.
  static let listenedBytes = 16 << 10
  /// Of these, until something was taken.
  static let listensMax = 4

  private var silentBeats = 0
  private var stuckBeats = 0
  /// At the last beat at which the peer had not taken all.
  private var lastUnsent: Int?
  private var listens = 0
  /// Bytes that may be kept undecoded while no messages are taken.
  private(set) var keptBytesMax = 0

  /// A byte came.
  mutating func heard() { silentBeats = 0 }

  /// - Parameters:
  ///   - isReading: Messages are taken.
  ///   - keptBytes: Read and not decoded.
  ///   - unsentBytes: What the peer has not taken; nil where there is room for more.
  /// - Returns: Why it is given up; nil where it is not.
  mutating func beat(isReading: Bool, keptBytes: Int, unsentBytes: Int?) -> String? {
    if let unsentBytes, let lastUnsent, unsentBytes >= lastUnsent {
      stuckBeats += 1
    } else {
      stuckBeats = 0
    }
    lastUnsent = unsentBytes
    guard stuckBeats < PeerWatch.beatsMax else { return "what was sent was not read for \(PeerWatch.beatsMax) heartbeats" }
    guard silentBeats < PeerWatch.beatsMax else { return "nothing was heard for \(PeerWatch.beatsMax) heartbeats" }
    silentBeats += 1
    if isReading {
      listens = 0
      keptBytesMax = 0
    } else if keptBytes >= keptBytesMax, listens < PeerWatch.listensMax {
      listens += 1
      keptBytesMax = keptBytes + PeerWatch.listenedBytes
    }
    return nil
  }
}
