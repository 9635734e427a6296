import Events
import Expressions

// A row of a view with its source among the keys is of one source, whose own event times close its windows. The event-time
// watermark of that source goes with the row, from the worker that knows it to the client that says what is final.

extension ViewDefinition {
  /// The number of the key column that is the event's source; nil when no key is.
  public var sourceKey: Int? { keys.firstIndex { $0.path == .attribute("source") } }

  /// Whether each row has its source's event-time watermark: each source's own time closes its windows, and the row is of one.
  public var hasSourceWatermarks: Bool { watermark == .source && hasSourceKey }

  /// Whether each row of a result is of one source.
  /// - Parameter keptKeys: The numbers of the key columns that the result keeps; nil for all.
  public func keepsSource(keptKeys: [Int]?) -> Bool {
    guard let keptKeys else { return hasSourceKey }
    return keptKeys.contains { keys[$0].path == .attribute("source") }
  }
}

extension PartialRows {
  /// The event-time watermark of a row's source, nanoseconds; nil where rows have none.
  public func sourceWatermark(_ row: Int) -> Int64? { sourceWatermarks.isEmpty ? nil : sourceWatermarks[row] }

  /// Gives every row the event-time watermark of its source. Nothing changes where the definition gives rows none.
  /// - Parameters:
  ///   - definition: The rows' view.
  ///   - watermark: The event-time watermark, nanoseconds, of a source by its UTF-8 text; of one not known the lowest time. Asked
  ///     once for consecutive rows of one source.
  public mutating func fillSourceWatermarks(
    of definition: ViewDefinition, _ watermark: (_ source: UnsafeRawBufferPointer) -> Int64
  ) {
    guard definition.hasSourceWatermarks, let column = definition.sourceKey else { return }
    var filled: [Int64] = []
    filled.reserveCapacity(count)
    keyBytes.withUnsafeBytes { bytes in
      var last: (value: UnsafeRawBufferPointer, time: Int64)?
      for row in 0..<count {
        let key = UnsafeRawBufferPointer(rebasing: bytes[keyRange(row)])
        guard let range = KeyCodec.range(of: column, in: key) else {
          // Only a damaged key has no source: nothing is said of its row.
          filled.append(.min)
          continue
        }
        let value = UnsafeRawBufferPointer(rebasing: key[range])
        if let last, bytesEqual(last.value, value) {
          filled.append(last.time)
          continue
        }
        // Every event has a source, and it is text.
        let time = KeyCodec.withText(value, watermark) ?? .min
        last = (value, time)
        filled.append(time)
      }
    }
    sourceWatermarks = filled
  }

  /// Begins a row: to be called before its other columns are appended. A row without, beside others that have one, gets the
  /// lowest time, so that it is not final.
  @inline(__always) mutating func appendSourceWatermark(_ watermark: Int64?) {
    if watermark == nil, sourceWatermarks.isEmpty { return }
    fillUp()
    sourceWatermarks.append(watermark ?? .min)
  }

  /// The same for several rows of another result.
  /// - Parameters:
  ///   - rows: Their numbers.
  ///   - other: A result of the same view.
  mutating func appendSourceWatermarks(of rows: some Collection<Int>, _ other: PartialRows) {
    if other.sourceWatermarks.isEmpty, sourceWatermarks.isEmpty { return }
    fillUp()
    if other.sourceWatermarks.isEmpty {
      sourceWatermarks.append(contentsOf: repeatElement(.min, count: rows.count))
    } else {
      sourceWatermarks.append(contentsOf: rows.lazy.map { other.sourceWatermarks[$0] })
    }
  }

  private mutating func fillUp() {
    if sourceWatermarks.isEmpty { sourceWatermarks = Array(repeating: .min, count: count) }
    assert(sourceWatermarks.count == count, "every row has its source's event-time watermark, or none has")
  }
}
