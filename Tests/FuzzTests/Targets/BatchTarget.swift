import Events

extension FuzzTarget {
  /// The batch decoder. The input is a payload, behind the count of its events and the codec; header and CRCs are made to fit, so
  /// that what is behind them is reached.
  ///
  /// A batch that is taken must be readable in every way, and its events must make a batch again.
  static let batch = FuzzTarget(name: "batch", dictionary: [[1, 0, 0, 0], [0, 0, 1, 0], [255, 255, 255, 255]]) {
    seedBatches().flatMap { batch in
      [BatchHeader.Codec.none, .deflate].map { codec in
        let stored = batch.recoded(codec)
        let inflated = UInt32(stored.header.inflatedBytes)
        return [UInt8(truncatingIfNeeded: batch.count), UInt8(stored.header.codec.rawValue)]
          + (0..<4).map { UInt8(truncatingIfNeeded: inflated >> UInt32($0 * 8)) } + stored.encoded[BatchHeader.byteCount...]
      }
    }
  } run: { input in
    guard input.count > 6, let codec = BatchHeader.Codec(rawValue: UInt16(input[1] & 1)) else { return }
    let payload = Array(input[6...])
    let inflated = codec == .none ? payload.count : input[2..<6].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = BatchHeader(
      partition: PartitionID(0), baseOffset: .zero, count: Int(input[0]), codec: codec,
      firstEventTime: Timestamp(nanoseconds: .min),
      lastEventTime: Timestamp(nanoseconds: .max), appendTime: Timestamp(nanoseconds: 0), storedBytes: payload.count,
      inflatedBytes: inflated, payloadChecksum: payload.withUnsafeBytes { checksum($0) })
    var bytes = [UInt8](repeating: 0, count: BatchHeader.byteCount)
    bytes.withUnsafeMutableBytes { header.write(to: $0) }
    let batch: ColumnBatch
    do throws(BatchError) { batch = try ColumnBatch(encoded: bytes + payload) } catch { return }
    try readAll(batch)
  }

  private static func readAll(_ batch: ColumnBatch) throws {
    let events = batch.events()
    guard events.count == batch.count else { throw FuzzFinding("\(events.count) events of \(batch.count)") }
    _ = batch.producers()
    var vector = ValueVector()
    for path in [ValuePath.attribute("id"), .attribute("region"), .attribute("epoch"), .data([]), .data(["a"]), .data(["temp"])] {
      batch.load(path, into: &vector)
      for row in 0..<batch.count where vector.kinds[row] == .string || vector.kinds[row] == .raw {
        _ = batch.withString(Int(vector.bits[row])) { $0.count }
      }
    }
    var writer = EventLineWriter()
    guard writer.append(batch, 0..<batch.count) == batch.count else { throw FuzzFinding("not all rows were written") }
    for codec in [BatchHeader.Codec.none, .deflate] {
      let again = batch.recoded(codec)
      guard again.events() == events else { throw FuzzFinding("recoded, the events are others") }
    }
  }

  private static func seedBatches() -> [ColumnBatch] {
    let plain = (0..<20).map { index in
      Event(
        source: "s\(index % 3)", type: "t", time: Timestamp(nanoseconds: Int64(index) * 1000), sequence: UInt64(index),
        data: ["temp": .double(Double(index) / 4)])
    }
    var odd: [Event] = []
    for index in 0..<12 {
      var event = Event(source: "s", type: "t\(index)", time: Timestamp(nanoseconds: Int64(index * index)))
      if index % 2 == 0 { event.id = "id\(index)" }
      if index % 3 == 0 { event.subject = "x" }
      if index % 4 == 0 { event.epoch = .max }
      event.attributes = ["region": .string("r\(index)"), "flag": .bool(index > 4)]
      let temp: JSONValue = index % 2 == 0 ? .string("warm") : .array([.int(1), .null])
      event.data = ["a": ["b": .int(Int64(index) - 5), "c": .null], "temp": temp]
      odd.append(event)
    }
    return [ColumnBatch(events: plain, partition: PartitionID(0)), ColumnBatch(events: odd, partition: PartitionID(0))]
  }
}
