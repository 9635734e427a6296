import Events
import Testing

@Suite("A column batch")
struct ColumnBatchTests {
  @Test("gives back the events it was made of", arguments: 0..<60)
  func roundTrip(seed: UInt64) throws {
    var generator = EventGenerator(seed: seed)
    let events = (0..<Int.random(in: 1...(seed % 10 == 0 ? 700 : 40), using: &generator.random)).map { _ in generator.event() }
    let batch = ColumnBatch(events: events, partition: PartitionID(3))
    #expect(batch.count == events.count)
    let decoded = try ColumnBatch(encoded: batch.encoded)
    #expect(decoded.events() == events, "seed \(seed)")
    let deflated = batch.recoded(.deflate)
    #expect(try ColumnBatch(encoded: deflated.encoded).events() == events, "deflated, seed \(seed)")
    #expect(deflated.recoded(.none).encoded == batch.encoded)
    for row in [0, events.count - 1] { #expect(decoded.event(at: row) == events[row], "row \(row), seed \(seed)") }
  }

  @Test("keeps the events chosen from it and no others", arguments: 0..<10)
  func selecting(seed: UInt64) {
    var generator = EventGenerator(seed: seed)
    let events = (0..<30).map { _ in generator.event() }
    let batch = ColumnBatch(events: events, partition: PartitionID(0))
    let rows = events.indices.filter { _ in generator.chance(40) }
    #expect(batch.selecting(rows)?.events() ?? [] == rows.map { events[$0] }, "seed \(seed)")
    #expect(batch.selecting([]) == nil)
  }

  @Test("is placed by patching its header")
  func place() throws {
    var generator = EventGenerator(seed: 7)
    let events = (0..<5).map { _ in generator.event() }
    var batch = ColumnBatch(events: events, partition: PartitionID(0))
    batch.place(partition: PartitionID(5), baseOffset: Offset(118), appendTime: Timestamp(nanoseconds: 42))
    let decoded = try ColumnBatch(encoded: batch.encoded)
    #expect(decoded.partition == PartitionID(5))
    #expect(decoded.baseOffset == Offset(118))
    #expect(decoded.endOffset == Offset(123))
    #expect(decoded.header.appendTime == Timestamp(nanoseconds: 42))
    #expect(decoded.events() == events)
  }

  @Test("refuses every cut of its bytes")
  func cuts() {
    var generator = EventGenerator(seed: 11)
    let bytes = ColumnBatch(events: (0..<3).map { _ in generator.event() }, partition: PartitionID(0)).encoded
    for length in 0..<bytes.count {
      #expect(throws: BatchError.self, "cut at \(length)") { try ColumnBatch(encoded: Array(bytes[..<length])) }
    }
  }

  @Test("refuses every flipped bit")
  func flips() {
    var generator = EventGenerator(seed: 12)
    let bytes = ColumnBatch(events: (0..<2).map { _ in generator.event() }, partition: PartitionID(0)).encoded
    for bit in 0..<bytes.count * 8 {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: BatchError.self, "bit \(bit)") { try ColumnBatch(encoded: damaged) }
    }
  }

  @Test("never traps on hostile bytes whose checksums are right", arguments: 0..<40)
  func hostile(seed: UInt64) {
    var generator = EventGenerator(seed: seed)
    let original = ColumnBatch(events: (0..<20).map { _ in generator.event() }, partition: PartitionID(0))
    for _ in 0..<200 {
      var bytes = original.encoded
      for _ in 0..<Int.random(in: 1...4, using: &generator.random) {
        let at = Int.random(in: BatchHeader.byteCount..<bytes.count, using: &generator.random)
        bytes[at] = UInt8.random(in: 0...255, using: &generator.random)
      }
      var header = original.header
      header.payloadChecksum = bytes.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[BatchHeader.byteCount...])) }
      bytes.withUnsafeMutableBytes { header.write(to: $0) }
      guard let batch = try? ColumnBatch(encoded: bytes) else { continue }
      // A batch that passes the check must be readable in every way.
      #expect(batch.events().count == batch.count)
      _ = batch.producers()
      var vector = ValueVector()
      for path in [ValuePath.data([]), .data(["temp"]), .attribute("id"), .attribute("region")] {
        batch.load(path, into: &vector)
        for row in 0..<vector.count where vector.kinds[row] == .string {
          _ = batch.withString(Int(vector.bits[row])) { $0.count }
        }
      }
    }
  }

  @Test("loads a path's values row by row, whatever their types")
  func load() {
    let time = Timestamp(nanoseconds: 0)
    func event(_ data: JSONValue?) -> Event { Event(source: "s", type: "t", time: time, data: data) }
    let batch = ColumnBatch(
      events: [
        event(["x": .int(1)]), event(["x": .double(2.5)]), event(["x": .null]), event(["y": .int(3)]), event(nil),
        event(["x": ["z": .bool(true)]]), event(["x": .string("text")]), event(["x": .array([.int(1)])]), event(.int(9)),
      ], partition: PartitionID(0))
    var vector = ValueVector()
    batch.load(.data(["x"]), into: &vector)
    #expect(vector.kinds == [.int, .double, .null, .missing, .missing, .object, .string, .raw, .missing])
    #expect(vector.bits[0] == 1)
    #expect(Double(bitPattern: vector.bits[1]) == 2.5)
    #expect(batch.withString(Int(vector.bits[6])) { String(decoding: $0, as: UTF8.self) } == "text")
    batch.load(.data([]), into: &vector)
    #expect(vector.kinds == [.object, .object, .object, .object, .missing, .object, .object, .object, .int])
    batch.load(.data(["x", "z"]), into: &vector)
    #expect(vector.kinds[5] == .bool && vector.bits[5] == 1)
    batch.load(.attribute("epoch"), into: &vector)
    #expect(vector.uniformKind == .int && vector.bits.allSatisfy { $0 == 0 })
  }
}
