import Events

/// Batches of readings, made the way ingest makes them.
enum BatchMaker {
  /// One batch of `events` events for each of `partitions`, whose sources are `keys` in turn, over ten minutes.
  static func batches(partitions: Int, events: Int, keys: Int, sequence: Int = 1) throws -> [ColumnBatch] {
    try (0..<partitions).map { partition in
      try batch(PartitionID(partition), events: events, sequence: sequence) { $0 % keys }
    }
  }

  /// One batch of `events` events over ten minutes; `key` gives each its source's number.
  static func batch(_ partition: PartitionID, events: Int, sequence: Int = 1, key: (Int) -> Int) throws -> ColumnBatch {
    try batch(partition, events: events) { index, text in
      let time = EventTemplate.timeText(milliseconds: 1_700_000_000_000 + Int64(index) * 600_000 / Int64(events))
      text =
        Array(
          (#"{"source":"device/\#(partition.index)-\#(key(index))","type":"reading","#
            + #""time":"\#(String(decoding: time, as: UTF8.self))","#
            + #""sequence":\#(sequence + index),"data":{"value":\#(Double(index % 4000) / 100),"site":"ams-\#(index % 7)"}}"#)
            .utf8)
        + Array(repeating: 0, count: EventReader.padding)
    }
  }

  /// One batch of `events` events; `write` gives each its text, with the reader's padding, in place of the one before.
  static func batch(
    _ partition: PartitionID, events: Int, text: [UInt8] = [], write: (Int, inout [UInt8]) -> Void
  ) throws -> ColumnBatch {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: partition)
    var text = text
    for index in 0..<events {
      write(index, &text)
      text.withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - EventReader.padding)]), framing: .single,
          arrival: Timestamp(nanoseconds: 0), defaultSource: nil)
        while let step = reader.next() { if case .event = step { builder.append(reader) } }
      }
    }
    guard let batch = builder.seal(reader), batch.count == events else { throw BenchError("a batch was not whole") }
    return batch
  }
}
