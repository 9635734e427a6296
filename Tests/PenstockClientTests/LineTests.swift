import Testing

@testable import PenstockClient

@Suite("Lines to messages")
struct LineTests {
  @Test("lines are the same however the text is cut into chunks", arguments: 1...24)
  func chunks(size: Int) {
    let text = Array("one\n\n  two \r\nlonger than ten\nthree\nlast".utf8)
    var splitter = LineSplitter(lineBytesMax: 10)
    var lines: [String?] = []
    func take(_ line: UnsafeRawBufferPointer?) -> Bool {
      lines.append(line.map { String(decoding: $0, as: UTF8.self) })
      // Stops at every second line, to be called again.
      return lines.count % 2 == 0
    }
    for start in stride(from: 0, to: text.count, by: size) {
      let chunk = Array(text[start..<min(start + size, text.count)])
      var position = 0
      while position < chunk.count { position = splitter.lines(chunk, from: position, take) }
    }
    splitter.finish(take)
    #expect(lines == ["one", "", "two", nil, "three", "last"])
    #expect(splitter.number == 6)
  }

  @Test("a source's lines stay in order in one lane, and bad lines go alone")
  func spread() {
    var spreader = LineSpreader(lanes: 4, batch: 3, bytesGoal: 1 << 20, rejectsKeptMax: 10)
    for number in 1...100 {
      let text = number % 10 == 0 ? "{\(number)" : #"{"source":"s\#(number % 7)","sequence":\#(number)}"#
      Array(text.utf8).withUnsafeBytes { spreader.add($0, number: number) }
    }
    [UInt8]([0xFF]).withUnsafeBytes { spreader.add($0, number: 101) }
    spreader.flushAll()
    var lanes: [String: Set<Int>] = [:]
    var lines: [String: [Int]] = [:]
    for (lane, message) in spreader.takeReady() {
      #expect(message.eventCount <= 3)
      for mark in message.marks {
        if mark.line % 10 == 0 { #expect(message.eventCount == 1) }
        lanes[String(decoding: message.source(of: mark), as: UTF8.self), default: []].insert(lane)
        lines[String(decoding: message.source(of: mark), as: UTF8.self), default: []].append(mark.line)
      }
    }
    #expect(lanes.filter { $0.key != "" }.allSatisfy { $0.value.count == 1 })
    #expect(lines.values.allSatisfy { $0 == $0.sorted() })
    #expect(lines.values.reduce(0) { $0 + $1.count } == 100)
    #expect(spreader.rejects.map(\.code) == ["not_utf8"])
  }

  @Test("a message rewritten holds the events kept, whole, and knows their sources")
  func filtered() {
    var message = DeviceMessage()
    for line in 0..<5 {
      Array(#"{"source":"s\#(line)","sequence":\#(line)}"#.utf8).withUnsafeBytes {
        message.append($0, EventFacts($0), line: line)
      }
    }
    var rest = message.filtered { $0.line % 2 == 1 }
    #expect(rest.marks.map { String(decoding: rest.source(of: $0), as: UTF8.self) } == ["s1", "s3"])
    let text = rest.withPayload { String(decoding: $0, as: UTF8.self) }
    #expect(text == #"[{"source":"s1","sequence":1},{"source":"s3","sequence":3}]"#)
    #expect(rest.byteCount == text.utf8.count)
    var one = message.filtered { $0.line == 4 }
    #expect(one.withPayload { String(decoding: $0, as: UTF8.self) } == #"{"source":"s4","sequence":4}"#)
  }

  @Test("quantiles are within a sixteenth")
  func histogram() throws {
    var histogram = LatencyHistogram()
    for value in 1...100_000 { histogram.record(nanoseconds: UInt64(value)) }
    for q in [0.0, 0.01, 0.5, 0.99, 1] {
      let found = try #require(histogram.quantile(q)) / .nanoseconds(1)
      #expect(abs(found - max(1, q * 100_000)) <= q * 100_000 / 16 + 1, "\(q): \(found)")
    }
    #expect(LatencyHistogram().quantile(0.5) == nil)
  }
}
