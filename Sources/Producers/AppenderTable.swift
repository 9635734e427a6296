import Events

/// The last appends of each appender, so that a batch sent again after a lost answer gets the same answer, and is not
/// appended twice, whether its events have sequences, ids or neither. A function of the log's batches alone, except for
/// batches of duplicates only, which leave none.
///
/// An appender sends again only unanswered batches, and has at most `window` of a partition under way: so only these
/// must be remembered. At most `appendersMax` appenders; the one that appended longest ago is forgotten first.
package struct AppenderTable {
  package struct Entry: Hashable {
    package var number: UInt64
    package var receipt: AppendReceipt
  }

  package enum Judgement: Hashable {
    /// Not seen before: to be appended.
    case new
    /// Appended already, with this outcome.
    case appended(AppendReceipt)
    /// Older than any batch its appender can still wait for.
    case stale
  }

  /// The batches of one appender and partition that may be under way; its latest are remembered.
  package static let window = AppendReceipt.unansweredBatchesMax
  static let appendersMax = 256

  private struct Recent {
    /// Ascending by number.
    var entries: [Entry] = []
    /// The time of its last append, in batches of the partition.
    var lastUse: UInt64 = 0
  }

  private var appenders: [AppendTag.Appender: Recent] = [:]
  private var clock: UInt64 = 0

  package func judge(_ tag: AppendTag) -> Judgement {
    guard let recent = appenders[tag.appender], let last = recent.entries.last else { return .new }
    if tag.number > last.number { return .new }
    if let entry = recent.entries.last(where: { $0.number == tag.number }) { return .appended(entry.receipt) }
    // Within the window and unknown: it held only duplicates, or failed; it is judged anew.
    return last.number - tag.number < UInt64(AppenderTable.window) ? .new : .stale
  }

  /// - Parameters:
  ///   - appender: Who appended.
  ///   - number: The append's number. A number below the appender's last is remembered too, unless it is stale.
  ///   - receipt: Its outcome.
  package mutating func note(_ appender: AppendTag.Appender, _ number: UInt64, _ receipt: AppendReceipt) {
    clock += 1
    if appenders[appender] == nil, appenders.count == AppenderTable.appendersMax { forgetOldest() }
    var recent = appenders[appender, default: Recent()]
    // Out of the table while it is changed, so that nothing is copied.
    appenders[appender] = nil
    recent.lastUse = clock
    let entry = Entry(number: number, receipt: receipt)
    let place = recent.entries.lastIndex { $0.number < number }.map { $0 + 1 } ?? 0
    recent.entries.insert(entry, at: place)
    if let last = recent.entries.last?.number, last >= UInt64(AppenderTable.window) {
      let kept = last - UInt64(AppenderTable.window)
      if let first = recent.entries.firstIndex(where: { $0.number > kept }), first > 0 { recent.entries.removeFirst(first) }
    }
    assert(
      recent.entries.count <= AppenderTable.window
        && zip(recent.entries, recent.entries.dropFirst()).allSatisfy { $0.number <= $1.number },
      "an appender's latest are in order")
    appenders[appender] = recent
    assert(appenders.count <= AppenderTable.appendersMax)
  }

  private mutating func forgetOldest() {
    if let oldest = appenders.min(by: { $0.value.lastUse < $1.value.lastUse })?.key { appenders[oldest] = nil }
  }

  /// Appenders with their remembered entries, the one that appended longest ago first.
  package var remembered: [(appender: AppendTag.Appender, entries: [Entry])] {
    appenders.sorted { $0.value.lastUse < $1.value.lastUse }.map { ($0.key, $0.value.entries) }
  }
}
