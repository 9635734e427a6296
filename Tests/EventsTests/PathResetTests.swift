import Events
import Testing

@Suite("Member names without end")
struct PathResetTests {
  /// One event with `count` members that no other event has.
  func event(_ number: Int, members count: Int) -> Event {
    var members = JSONObject()
    for index in 0..<count { members["m\(number)x\(index)"] = .int(Int64(index)) }
    return Event(source: "s", type: "t", time: Timestamp(nanoseconds: 0), data: .object(members))
  }

  @Test("make the reader ask for a reset, after which reading and building go on rightly")
  func reset() {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    var waiting: [Event] = []
    var resets = 0
    func check() {
      #expect(builder.seal(reader)?.events() ?? [] == waiting)
      waiting = []
    }
    for number in 0..<90 {
      // The same few names come again after each reset, under other numbers.
      for event in [event(number, members: 400), event(0, members: 3)] {
        var text: [UInt8] = []
        event.writeJSON(to: &text)
        let count = text.count
        text.append(contentsOf: repeatElement(0, count: EventReader.padding))
        text.withUnsafeBytes { bytes in
          reader.begin(
            message: UnsafeRawBufferPointer(rebasing: bytes[..<count]), framing: .single, arrival: event.time, defaultSource: nil)
          guard case .event = reader.next() else {
            Issue.record("event \(number) was not taken")
            return
          }
          if builder.isFull { check() }
          builder.append(reader)
          waiting.append(event)
        }
      }
      if reader.needsReset {
        check()
        reader.resetPaths()
        resets += 1
      }
    }
    check()
    #expect(resets >= 2)
  }
}
