/// Up to 65,536 events of one partition, as columns: the form in which events travel from socket to SQLite.
public struct ColumnBatch: Sendable {
  public internal(set) var header: BatchHeader
  /// Header and stored payload: the bytes in the segment and on the wire.
  public internal(set) var encoded: [UInt8]
  /// The payload when it is stored deflated; else it is in `encoded`.
  let inflated: [UInt8]?
  let layout: BatchLayout

  /// Reads a batch: checks header, CRC, and the layout of every column. A hostile batch costs no more memory than its header
  /// states, and a header cannot state more than 32 MiB, or 1032 times the batch's own size.
  /// - Parameter encoded: Exactly one batch.
  public init(encoded: [UInt8]) throws(BatchError) {
    try self.init(encoded: encoded, isTrusted: false)
  }

  init(encoded: [UInt8], isTrusted: Bool) throws(BatchError) {
    let header = try encoded.withBytes { bytes throws(BatchError) in try BatchHeader(parsing: bytes) }
    guard encoded.count == header.batchBytes else { throw BatchError(.truncated, at: encoded.count) }
    let inflated = try encoded.withBytes { bytes throws(BatchError) -> [UInt8]? in
      let all = UnsafeRawBufferPointer(rebasing: bytes[BatchHeader.byteCount...])
      guard isTrusted || checksum(all) == header.payloadChecksum else { throw BatchError(.payloadChecksum, at: 56) }
      if !isTrusted, header.tagBytes > 0 {
        _ = try AppendTag(
          parsing: UnsafeRawBufferPointer(rebasing: bytes[header.payloadRange.upperBound...]), count: header.count)
      }
      guard header.codec == .deflate else { return nil }
      let stored = UnsafeRawBufferPointer(rebasing: bytes[header.payloadRange])
      guard let inflated = Deflate.inflate(stored, to: header.inflatedBytes) else {
        throw BatchError(.inflate, at: BatchHeader.byteCount)
      }
      return inflated
    }
    if let inflated {
      layout = try inflated.withBytes { bytes throws(BatchError) in
        try BatchLayout(checking: bytes, rows: header.count, isTrusted: isTrusted)
      }
    } else {
      layout = try encoded.withBytes { bytes throws(BatchError) in
        try BatchLayout(
          checking: UnsafeRawBufferPointer(rebasing: bytes[header.payloadRange]), rows: header.count, isTrusted: isTrusted)
      }
    }
    self.header = header
    self.encoded = encoded
    self.inflated = inflated
  }

  public var count: Int { header.count }
  public var partition: PartitionID { header.partition }
  public var baseOffset: Offset { header.baseOffset }
  public var endOffset: Offset { header.endOffset }

  @inline(__always) func withPayload<R>(_ body: (UnsafeRawPointer) -> R) -> R {
    if let inflated {
      return inflated.withUnsafeBytes { body($0.baseAddress.unsafelyUnwrapped) }
    }
    return encoded.withUnsafeBytes { body($0.baseAddress.unsafelyUnwrapped + BatchHeader.byteCount) }
  }

  /// Gives the batch its place in the log: patches partition, offset and append time into the header's bytes. The payload stays.
  public mutating func place(partition: PartitionID, baseOffset: Offset, appendTime: Timestamp) {
    header.partition = partition
    header.baseOffset = baseOffset
    header.appendTime = appendTime
    let header = header
    encoded.withUnsafeMutableBytes { header.write(to: $0) }
  }

  /// The same batch and tag, with the payload stored by `codec`. A payload that deflate cannot make smaller stays as it is.
  public func recoded(_ codec: BatchHeader.Codec) -> ColumnBatch {
    guard codec != header.codec else { return self }
    var header = header
    header.codec = codec
    let stored: [UInt8]
    if let inflated {
      stored = inflated
    } else {
      let compressed = encoded.withUnsafeBytes {
        Deflate.compress(UnsafeRawBufferPointer(rebasing: $0[header.payloadRange]))
      }
      guard let compressed, compressed.count < header.payloadRange.count else { return self }
      stored = compressed
    }
    header.tagBytes = 0
    header.storedBytes = stored.count
    header.payloadChecksum = stored.withUnsafeBytes { checksum($0) }
    var bytes = [UInt8](repeating: 0, count: BatchHeader.byteCount)
    bytes.reserveCapacity(header.batchBytes)
    bytes.append(contentsOf: stored)
    bytes.withUnsafeMutableBytes { header.write(to: $0) }
    do {
      var recoded = try ColumnBatch(encoded: bytes, isTrusted: true)
      if let tag { recoded.setTag(tag) }
      return recoded
    } catch {
      preconditionFailure("a recoded batch does not decode: \(error)")
    }
  }

  /// The batch with these rows only, and without a tag; nil when `rows` is empty.
  /// - Parameter rows: Ascending row numbers.
  /// - Complexity: Several microseconds a row: for the rare batch that holds duplicates.
  public func selecting(_ rows: [Int]) -> ColumnBatch? {
    guard !rows.isEmpty else { return nil }
    return ColumnBatch(events: events(at: rows), partition: partition)
  }

  /// Makes a batch of events handled alone.
  /// - Parameters:
  ///   - events: 1...65,536 events within `EventReader`'s bounds; anything else is a programmer's mistake.
  ///   - partition: The partition of all of them.
  public init(events: [Event], partition: PartitionID) {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: partition)
    for event in events {
      var text: [UInt8] = []
      event.writeJSON(to: &text)
      let count = text.count
      text.append(contentsOf: repeatElement(0, count: EventReader.padding))
      text.withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<count]), framing: .single, arrival: event.time,
          defaultSource: nil)
        switch reader.next() {
        case .event: builder.append(reader)
        case let step: preconditionFailure("event does not read back: \(String(describing: step))")
        }
      }
    }
    guard let batch = builder.seal(reader) else { preconditionFailure("a batch holds one event at least") }
    self = batch
  }
}

extension [UInt8] {
  @inline(__always) func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(BatchError) -> R) throws(BatchError) -> R {
    let result = withUnsafeBytes { bytes -> Result<R, BatchError> in
      do throws(BatchError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
