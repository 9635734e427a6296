import Events
import Serving

/// The turns of one loop's large bodies, which threads of their own inflate and check: a few at a time, in the order in
/// which they came, so that few texts are held. Belongs to the loop.
final class BodyReading {
  /// The longest body that is read on its loop: some tens of microseconds' work.
  static let bytesOnLoopMax = 64 << 10
  /// Texts that are being read, or wait for the pipeline.
  static let textsMax = 2
  /// Bodies that wait for their turn; each is of another connection.
  static let waitingMax = 1024

  let threads: AnswerThreads
  private var texts = 0
  private var waiting: [() -> Bool] = []

  init(_ threads: AnswerThreads) { self.threads = threads }

  /// - Parameter turn: Called when a body may be read, now or later. It returns false to leave its turn to the next; otherwise
  ///   `endTurn` follows.
  /// - Returns: False if too many wait; `turn` is not called then.
  func takeTurn(_ turn: @escaping () -> Bool) -> Bool {
    if texts < BodyReading.textsMax {
      if turn() { texts += 1 }
      return true
    }
    guard waiting.count < BodyReading.waitingMax else { return false }
    waiting.append(turn)
    return true
  }

  func endTurn() {
    assert(texts > 0, "a turn ends once")
    while !waiting.isEmpty {
      let turn = waiting.removeFirst()
      if turn() { return }
    }
    texts -= 1
  }
}

extension EventsRequest {
  /// Whether the body may be too much work for a turn of its loop: a gzip body of a few bytes may hold a thousand times as many.
  func isLong(_ request: HTTPRequest) -> Bool { isGzip || request.body.readableBytes > BodyReading.bytesOnLoopMax }
}
