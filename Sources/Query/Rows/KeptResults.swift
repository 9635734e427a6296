import Events
import Synchronization
import Views

/// Results that pages are cut from: kept for as long as a client pages through them, so that all pages show one moment.
///
/// A result's id is made of the query, the generation and the offset vector. So the same result asked for twice is kept
/// once, and a result that was let go is recognised when it is computed again.
final class KeptResults: Sendable {
  struct Pin: Sendable {
    var result: ViewResult
    /// Row numbers in the order asked for; nil where the rows are in that order.
    var order: [Int]?
  }

  private struct Entry {
    var pin: Pin
    var bytes: Int
    var usedAt: ContinuousClock.Instant
  }

  private struct State {
    var entries: [String: Entry] = [:]
    var bytes = 0
    /// No entry was last used before this.
    var oldest: ContinuousClock.Instant?
  }

  /// The approximate bytes of a result besides its rows.
  private static let entryBytes = 1024

  private let bytesMax: Int
  private let lifetime: Duration
  private let state = Mutex(State())

  /// - Parameters:
  ///   - bytesMax: The bytes of all kept results; the newest is kept whatever its size.
  ///   - lifetime: How long a result is kept after its last use.
  init(bytesMax: Int, lifetime: Duration) {
    self.bytesMax = bytesMax
    self.lifetime = lifetime
  }

  func keep(_ pin: Pin, as id: String, now: ContinuousClock.Instant = .now) {
    let bytes =
      KeptResults.entryBytes + pin.result.rows.approximateBytes + (pin.order?.count ?? 0) * MemoryLayout<Int>.stride
    state.withLock { state in
      if state.entries[id] == nil {
        state.entries[id] = Entry(pin: pin, bytes: bytes, usedAt: now)
        state.bytes += bytes
      }
      state.entries[id]?.usedAt = now
      let isOld = state.oldest.map { now - $0 > lifetime } ?? false
      if state.bytes > bytesMax || isOld { letGo(of: &state, but: id, now) }
      if state.oldest == nil { state.oldest = now }
    }
  }

  /// Removes results that do not fit, or have not been used for long, the newest last.
  private func letGo(of state: inout State, but id: String, _ now: ContinuousClock.Instant) {
    var total = 0
    state.oldest = nil
    for (known, usedAt, bytes) in state.entries.map({ ($0.key, $0.value.usedAt, $0.value.bytes) }).sorted(by: { $0.1 > $1.1 }) {
      total += bytes
      if known != id, total > bytesMax || now - usedAt > lifetime {
        state.entries[known] = nil
        state.bytes -= bytes
      } else {
        state.oldest = usedAt
      }
    }
  }

  func find(_ id: String, now: ContinuousClock.Instant = .now) -> Pin? {
    state.withLock { state in
      guard let entry = state.entries[id] else { return nil }
      guard now - entry.usedAt <= lifetime else {
        state.entries[id] = nil
        state.bytes -= entry.bytes
        return nil
      }
      state.entries[id]?.usedAt = now
      return entry.pin
    }
  }
}

extension ViewResult {
  /// The result's id: equal for results of one query at one moment.
  var id: String {
    var text = asOfText
    text.append(contentsOf: query.definition.generationHash.utf8)
    for word in [query.fingerprint, UInt64(query.generation)] {
      withUnsafeBytes(of: word.littleEndian) { text.append(contentsOf: $0) }
    }
    return text.withUnsafeBytes { bytes in
      String(stableHash(bytes), radix: 16) + String(stableHash(bytes, seed: 0x9AE1_6A3B_2F90_404F), radix: 16)
    }
  }
}

extension PartialRows {
  var approximateBytes: Int {
    // Capacity counts, since an array that grew by doubling may take twice its elements; a row's sketches are in `states`.
    let words =
      states.capacity + windowStarts.capacity + windowEnds.capacity + keyEnds.capacity + stateEnds.capacity
      + sourceWatermarks.capacity
    return keyBytes.capacity + words * 8 + partitions.capacity * MemoryLayout<PartitionID>.stride
  }
}
