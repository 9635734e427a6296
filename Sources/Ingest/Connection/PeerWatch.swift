/// Decides at each heartbeat whether a peer is still there: by the bytes that it sent, and by those that it took.
///
/// A peer whose messages are not taken at the moment still has to be heard: its pongs stand behind them. So while reading pauses,
/// a little more is read at each beat, and kept. A peer that has filled that as well cannot be heard any more, and is given up
/// like any silent one.
struct PeerWatch {
  /// A peer is given up after this many beats without a byte from it, or without a byte taken by it.
  static let beatsMax = 2
  /// Bytes read at a beat to hear a peer whose messages are not taken.
  static let listenedBytes = 16 << 10
  /// The most such reads until messages are taken again.
  static let listensMax = 4

  private var silentBeats = 0
  private var stuckBeats = 0
  /// The unsent bytes at the last beat at which the peer had not taken all.
  private var lastUnsent: Int?
  private var listens = 0
  /// Bytes that may be kept undecoded while no messages are taken.
  private(set) var keptBytesMax = 0

  /// Notes that a byte came.
  mutating func heard() { silentBeats = 0 }

  /// - Parameters:
  ///   - isReading: Whether messages are taken.
  ///   - keptBytes: Bytes read and not decoded.
  ///   - unsentBytes: Bytes that the peer has not taken; nil where there is room for more.
  /// - Returns: The reason why it is given up; nil where it is not.
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
