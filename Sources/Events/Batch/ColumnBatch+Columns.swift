extension ColumnBatch {
  /// Event times in nanoseconds, one a row.
  public func times() -> [Int64] {
    integers(layout.columns[layout.time])
  }

  /// Codes of the events' sources in the string table, one a row.
  public func sourceCodes() -> [UInt32] { integers(layout.columns[layout.source]) }

  /// Values of an integer column's present rows.
  func integers<Value: FixedWidthInteger & BitwiseCopyable>(_ column: BatchLayout.Column) -> [Value] {
    [Value](unsafeUninitializedCapacity: column.values) { buffer, initialized in
      if column.values > 0 {
        withPayload {
          IntegerEncoding.decode(
            $0 + column.valuesPosition, width: column.width, count: column.values,
            into: buffer.baseAddress.unsafelyUnwrapped)
        }
      }
      initialized = column.values
    }
  }

  /// Calls `body(row, value's number)` for each present row, in order.
  @inline(__always) func forEachPresent(_ column: BatchLayout.Column, _ body: (Int, Int) -> Void) {
    withPayload { column.forEachPresent($0, rows: count, body) }
  }

  /// The columns that the producer table needs, one value a row.
  public func producers() -> ProducerColumns {
    guard let columns = sequences() else {
      let has = Array(repeating: false, count: count)
      return ProducerColumns(
        sources: sourceCodes(), epochs: epochs(), sequences: Array(repeating: 0, count: count), hasSequence: has,
        identities: identities(besides: has))
    }
    return ProducerColumns(
      sources: sourceCodes(), epochs: columns.epochs, sequences: columns.sequences, hasSequence: columns.hasSequence,
      identities: columns.hasSequence.isEmpty ? [] : identities(besides: columns.hasSequence))
  }

  /// Digests of (source, id) for rows that have an id and no sequence.
  private func identities(besides hasSequence: [Bool]) -> [EventIdentity?] {
    guard let index = layout.id else { return [] }
    var result = [EventIdentity?](repeating: nil, count: count)
    let sources = sourceCodes()
    forEachPresent(layout.columns[index]) { row, _ in
      guard !hasSequence[row] else { return }
      result[row] = withString(Int(sources[row])) { source in withID(ofRow: row) { EventIdentity(source: source, id: $0) } }
    }
    return result
  }

  /// The UTF-8 of a row's id; empty where the event has none.
  func withID<R>(ofRow row: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let start = Int(layout.idStarts[row]), end = Int(layout.idStarts[row + 1])
    if let inflated {
      return try inflated.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
    }
    return try encoded.withUnsafeBytes {
      try body(UnsafeRawBufferPointer(rebasing: $0[BatchHeader.byteCount + start..<BatchHeader.byteCount + end]))
    }
  }

  /// The ids, one a row; nil where the event has none.
  func ids() -> [String?] {
    var result = [String?](repeating: nil, count: count)
    guard let index = layout.id else { return result }
    forEachPresent(layout.columns[index]) { row, _ in
      result[row] = withID(ofRow: row) { String(decoding: $0, as: UTF8.self) }
    }
    return result
  }

  func string(_ code: Int) -> String { withString(code) { String(decoding: $0, as: UTF8.self) } }
}

/// The producer and the sequence of each row.
public struct ProducerColumns: Sendable {
  /// Code of the source in the batch's string table.
  public var sources: [UInt32]
  /// 0 where the event had no epoch; empty when no event had one.
  public var epochs: [UInt64]
  public var sequences: [UInt64]
  /// Whether the row has a sequence; empty when every row has one.
  public var hasSequence: [Bool]
  /// Digest of (source, id) for rows that have an id but no sequence; empty when no row needs one.
  public var identities: [EventIdentity?]
}

/// A 128-bit digest of (source, id): small enough to remember, and wide enough that of 2^64 remembered events two share one.
///
/// Two rounds of FNV-1a with different bases and finalisers. It does not keep an attacker from making his own events collide.
public struct EventIdentity: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init(source: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer) {
    var a: UInt64 = 0xcbf2_9ce4_8422_2325, b: UInt64 = 0x9e37_79b9_7f4a_7c15
    func mix(_ bytes: UnsafeRawBufferPointer) {
      for byte in bytes {
        a = (a ^ UInt64(byte)) &* 0x100_0000_01b3
        b = (b &+ UInt64(byte) &+ 1) &* 0xd6e8_feb8_6659_fd93
        b ^= b &>> 29
      }
    }
    mix(source)
    // A source's length tells ("a", "bc") from ("ab", "c").
    withUnsafeBytes(of: UInt64(source.count).littleEndian) { mix($0) }
    mix(id)
    high = mixed(a)
    low = mixed(b)
  }
}
