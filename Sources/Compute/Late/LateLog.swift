import Events
import Views

/// An event that came too late for its windows.
struct LateEntry: Sendable, Hashable {
  var offset: Offset
  /// Nanoseconds.
  var eventTime: Int64
  var reason = LateReason.windowClosed
}

/// The late events of one fold since its last checkpoint: the last ones of them, in the order of their offsets. All are counted
/// elsewhere.
struct LateLog: Sendable {
  /// The most entries worth keeping; 0 for a fold that nobody asks for them.
  let countMax: Int
  private var entries: [LateEntry] = []

  init(countMax: Int) { self.countMax = countMax }

  var last: ArraySlice<LateEntry> { entries.suffix(countMax) }

  mutating func append(_ entry: LateEntry) {
    guard countMax > 0 else { return }
    // Twice as many are held, so that each is moved at most once.
    if entries.count >= 2 * countMax { entries.removeFirst(entries.count - countMax + 1) }
    entries.append(entry)
  }

  mutating func removeAll() { entries.removeAll(keepingCapacity: entries.count < 1 << 12) }
}
