import Events

/// A batch with an event ahead of the clock. It is kept until the log has taken it: only then is it known which events are new.
struct AheadBatch {
  private let batch: ColumnBatch
  private let limit: Int64

  /// - Parameters:
  ///   - batch: The batch that the log is given.
  ///   - limit: The latest time that is not ahead.
  /// - Returns: Nil where no event is ahead, which the batch's header tells.
  init?(_ batch: ColumnBatch, limit: Int64) {
    guard batch.header.lastEventTime.nanoseconds > limit else { return nil }
    (self.batch, self.limit) = (batch, limit)
  }

  /// Counts the appended events that are ahead.
  /// - Parameters:
  ///   - exceptions: The rows that were not appended, ascending.
  ///   - now: The time of the answer.
  ///   - hasTime: Whether the event of a row has a time of its own.
  /// - Returns: Their number, and the sources that sent the last of them, at most `AheadEventSources.sourcesMax`, the latest
  ///   last.
  /// - Complexity: Linear in the batch's events.
  func count(
    besides exceptions: [AppendReceipt.Exception], at now: Timestamp, hasTime: (Int) -> Bool
  ) -> (events: Int, sources: [AheadEventSources.Entry]) {
    let times = batch.times(), sources = batch.sourceCodes()
    var events = 0
    var places: [UInt32: Int] = [:]
    var found: [AheadEventSources.Entry] = []
    var left = exceptions[...]
    // From the last on: a source's first is its latest, and the first sources found are those to keep.
    for row in stride(from: batch.count - 1, through: 0, by: -1) {
      if left.last?.row == row {
        left.removeLast()
        continue
      }
      guard times[row] > limit, hasTime(row) else { continue }
      events += 1
      let code = sources[row]
      if let place = places[code] {
        found[place].count += 1
      } else if found.count < AheadEventSources.sourcesMax {
        places[code] = found.count
        let source = batch.withString(Int(code)) { String(decoding: $0.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self) }
        found.append(
          AheadEventSources.Entry(source: source, count: 1, eventTime: Timestamp(nanoseconds: times[row]), time: now))
      }
    }
    return (events, found.reversed())
  }
}
