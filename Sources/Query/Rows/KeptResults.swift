import Events
import Synchronization
import Views

/// Results that pages are cut from: kept for as long as someone pages through them, so that all pages are of one moment.
///
/// A result is known by what it is of (the query, the generation, the offset vector), so the same result asked for twice is kept once, and one that
/// was let go is recognised when it is computed again.
final class KeptResults: Sendable {
  struct Pin: Sendable {
    var result: ViewResult
    /// Row numbers in the order asked for; nil where the rows are in it.
    var order: [Int]?
  }

  private struct Entry {
    var pin: Pin
    var bytes: Int
    var usedAt: ContinuousClock.Instant
  }

  private let bytesMax: Int
  private let lifetime: Duration
  private let entries = Mutex<[String: Entry]>([:])

  /// - Parameters:
  ///   - bytesMax: Of all results kept; the newest is kept whatever its size.
  ///   - lifetime: For which a result is kept after it was used last.
  init(bytesMax: Int, lifetime: Duration) {
    self.bytesMax = bytesMax
    self.lifetime = lifetime
  }

  func keep(_ pin: Pin, as id: String, now: ContinuousClock.Instant = .now) {
    let bytes = pin.result.rows.approximateBytes + (pin.order?.count ?? 0) * MemoryLayout<Int>.stride
    entries.withLock { entries in
      if entries[id] == nil { entries[id] = Entry(pin: pin, bytes: bytes, usedAt: now) }
      entries[id]?.usedAt = now
      var total = 0
      // The newest first; what does not fit, or has not been used for long, goes.
      for (known, entry) in entries.sorted(by: { $0.value.usedAt > $1.value.usedAt }) {
        total += entry.bytes
        if known != id, total > bytesMax || now - entry.usedAt > lifetime { entries[known] = nil }
      }
    }
  }

  func find(_ id: String, now: ContinuousClock.Instant = .now) -> Pin? {
    entries.withLock { entries in
      guard let entry = entries[id] else { return nil }
      guard now - entry.usedAt <= lifetime else {
        entries[id] = nil
        return nil
      }
      entries[id]?.usedAt = now
      return entry.pin
    }
  }
}

extension ViewResult {
  /// What the result is known by: equal for results of one query at one moment.
  var id: String {
    var text = "\(query.fingerprint) \(query.generation) \(query.definition.generationHash) \(asOf.description)"
    return text.withUTF8 { bytes in
      String(stableHash(UnsafeRawBufferPointer(bytes)), radix: 16)
        + String(stableHash(UnsafeRawBufferPointer(bytes), seed: 0x9AE1_6A3B_2F90_404F), radix: 16)
    }
  }
}

extension PartialRows {
  /// What the rows take in memory, roughly.
  var approximateBytes: Int {
    // Capacity, since an array that grew by doubling may take twice its elements; a row's sketches are in `states`.
    keyBytes.capacity + (states.capacity + windowStarts.capacity + windowEnds.capacity + keyEnds.capacity + stateEnds.capacity)
      * 8
      + partitions.capacity * MemoryLayout<PartitionID>.stride
  }
}
