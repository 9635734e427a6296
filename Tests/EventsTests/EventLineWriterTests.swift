import Events
import Testing

@Suite("Lines of events")
struct EventLineWriterTests {
  @Test("a batch's lines are its events' JSON, and read back as the same events", arguments: 0..<40)
  func lines(seed: Int) throws {
    var generator = EventGenerator(seed: UInt64(seed))
    let batch = ColumnBatch(events: (0..<60).map { _ in generator.event() }, partition: PartitionID(0))
    var writer = EventLineWriter()
    #expect(writer.append(batch, 0..<60) == 60)
    let lines = writer.withBytes { String(decoding: $0, as: UTF8.self) }.split(separator: "\n")
    for (line, event) in zip(lines, batch.events()) {
      var text: [UInt8] = []
      event.writeJSON(to: &text)
      try #require(try JSONValue(parsing: String(line)) == (try JSONValue(parsing: text)), "\(line)")
    }
    #expect(lines.count == 60)
  }

  @Test("rows and times choose")
  func choice() {
    let events = (0..<10).map {
      Event(source: "s", type: "t", time: Timestamp(nanoseconds: Int64($0) * 1000), data: .int(Int64($0)))
    }
    let batch = ColumnBatch(events: events, partition: PartitionID(0))
    var writer = EventLineWriter()
    #expect(writer.append(batch, 2..<8, times: 4000..<6000) == 2)
    let text = writer.withBytes { String(decoding: $0, as: UTF8.self) }
    #expect(
      text == """
        {"specversion":"1.0","source":"s","type":"t","time":"1970-01-01T00:00:00.000004Z","data":4}
        {"specversion":"1.0","source":"s","type":"t","time":"1970-01-01T00:00:00.000005Z","data":5}

        """)
    writer.removeAll()
    #expect(writer.byteCount == 0)
  }

  @Test("members keep their order, whichever kinds of values a batch happens to hold")
  func order() throws {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    func line(_ data: String) throws -> String {
      let text = Array(#"{"source":"s","type":"t","time":"1970-01-01T00:00:00Z","data":\#(data)}"#.utf8)
      let padded = text + Array(repeating: 0, count: EventReader.padding)
      padded.withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<text.count]), framing: .single, arrival: Timestamp(nanoseconds: 0),
          defaultSource: nil)
        while let step = reader.next() { if case .event = step { builder.append(reader) } }
      }
      let batch = try #require(builder.seal(reader))
      var writer = EventLineWriter()
      #expect(writer.append(batch, 0..<1) == 1)
      return writer.withBytes { String(decoding: $0, as: UTF8.self) }
    }
    for data in [#"{"a":1,"b":null,"c":"x"}"#, #"{"a":1,"b":2.5,"c":"x"}"#, #"{"a":null,"b":"y","c":3}"#] {
      #expect(try line(data).contains("\"data\":\(data)}"))
    }
  }
}
