import Events
import Synchronization
import Views

/// Rows of one key that few events still change, cached as they were read from a worker's file: dashboards ask for the same ones
/// again and again.
///
/// It holds up to 4 MiB of them, the last used. An entry names its slots exactly, so slots that settle later belong to another
/// entry.
final class SettledRows: Sendable {
  /// The approximate bytes of all entries.
  static let bytesMax = 4 << 20
  /// The most rows of an entry; larger results are read each time.
  static let rowsMax = 256
  /// The approximate bytes of an entry besides its rows.
  private static let entryBytes = 512

  private struct Place: Hashable {
    var view: Int64
    var partition: PartitionID
    var slots: ClosedRange<Int64>
    var endAfter: Int64
    var endThrough: Int64
    var key: [UInt8]

    /// Nil for a range of all keys.
    init?(_ range: StoredRange) {
      guard let key = range.key, range.rows.inMemory == nil else { return nil }
      view = range.view
      partition = range.partition
      slots = range.rows.slots
      endAfter = range.rows.endAfter
      endThrough = range.rows.endThrough
      self.key = key
    }
  }

  private struct State {
    /// The entries used since `older` was last replaced by them.
    var newer: [Place: PartialRows] = [:]
    var newerBytes = 0
    var older: [Place: PartialRows] = [:]
    var epoch = 0
  }

  private let state = Mutex(State())

  /// The version of the file's rows: a read that began in an earlier one is not cached. A checkpoint that amends stored rows
  /// begins a new one before it writes.
  var epoch: Int { state.withLock { $0.epoch } }

  var count: Int { state.withLock { $0.newer.count + $0.older.count } }

  /// - Parameter epoch: The epoch in which the range was made.
  func rows(of range: StoredRange, as epoch: Int) -> PartialRows? {
    guard let place = Place(range) else { return nil }
    return state.withLock { state in
      guard state.epoch == epoch else { return nil }
      if let rows = state.newer[place] { return rows }
      guard let rows = state.older.removeValue(forKey: place) else { return nil }
      SettledRows.add(rows, place, to: &state)
      return rows
    }
  }

  /// - Parameter epoch: The epoch in which the read began.
  func keep(_ rows: PartialRows, of range: StoredRange, as epoch: Int) {
    guard rows.count <= SettledRows.rowsMax, let place = Place(range) else { return }
    state.withLock { state in
      if state.epoch == epoch { SettledRows.add(rows, place, to: &state) }
    }
  }

  /// Forgets all entries, since the file's rows are others from now on: a checkpoint amends them, a generation was dropped, or a
  /// partition has come or gone.
  func forget() {
    state.withLock { state in
      state = State(epoch: state.epoch + 1)
    }
  }

  private static func add(_ rows: PartialRows, _ place: Place, to state: inout State) {
    let bytes = entryBytes + place.key.count + rows.keyBytes.count + rows.states.count * 8 + rows.count * 48
    if state.newerBytes + bytes > bytesMax / 2 {
      state.older = state.newer
      state.newer = [:]
      state.newerBytes = 0
    }
    if state.newer.updateValue(rows, forKey: place) == nil { state.newerBytes += bytes }
  }
}
