import Testing

@testable import Events

/// Work is counted, not timed: as many steps as there are values, however wide the events, or however little they have in common.
@Suite("Wide events")
struct WideEventTests {
  private func event(_ members: [String], nestedIn depth: Int = 0) -> Event {
    var object = JSONObject()
    for (number, member) in members.enumerated() { object.append(member, .int(Int64(number))) }
    var data = JSONValue.object(object)
    for level in 0..<depth { data = ["level\(level)": data, "beside\(level)": .bool(true)] }
    return Event(source: "s", type: "t", time: Timestamp(nanoseconds: 0), data: data)
  }

  private func steps(_ rows: BatchRows, _ row: Int) -> (opened: Int, values: Int, closed: Int) {
    var count = (opened: 0, values: 0, closed: 0)
    rows.tree.walk(rows.data(ofRow: row)) { step in
      switch step {
      case .open: count.opened += 1
      case .value: count.values += 1
      case .close: count.closed += 1
      }
    }
    return count
  }

  @Test("an event of as many values as there may be is read back in as many steps", arguments: [0, 1, 20])
  func widest(depth: Int) {
    let event = event((0..<EventReader.leavesMax - depth).map { "m\($0)" }, nestedIn: depth)
    let batch = ColumnBatch(events: [event], partition: PartitionID(0))
    let count = steps(BatchRows(batch, 0..<1), 0)
    #expect(count.values == EventReader.leavesMax)
    #expect(count.opened == depth + 1 && count.closed == count.opened)
    #expect(batch.events() == [event])
  }

  @Test("a batch of events without a member in common costs as many cells as it has values, not rows by columns")
  func disjoint() {
    let events = (0..<400).map { number in event((0..<5).map { "m\(number)x\($0)" }) }
    let batch = ColumnBatch(events: events, partition: PartitionID(0))
    let rows = BatchRows(batch, 0..<400)
    #expect(rows.data.count == 2000)
    #expect((0..<400).reduce(0) { $0 + rows.data(ofRow: $1).count } == 2000)
    #expect(batch.events() == events)
    #expect(batch.events(100..<103) == Array(events[100..<103]))
    #expect(batch.events(at: [399, 7, 7]) == [events[399], events[7], events[7]])
    var some = EventLineWriter()
    #expect(some.append(batch, [3, 200], as: .lines) == 2)
    #expect(some.withBytes { $0.count { $0 == 0x0A } } == 2)
  }

  @Test("a path is found among thousands of columns, and what lies below it, as among a few")
  func paths() {
    var wide = JSONObject()
    for number in 0..<1000 { wide.append("m\(number)", ["value": .int(Int64(number)), "unit": .string("K")]) }
    // Neighbours in the order of bytes that are neither the path nor below it.
    for name in ["m7", "m7\u{1}", "m7!", "m70", "m"] { wide[name] = ["value": .string(name)] }
    wide["m8"] = .int(8)
    let datas: [JSONValue] = [.object(wide), ["m7": ["value": .double(0.5)]], ["m7": .string("text")]]
    let events = datas.map { Event(source: "s", type: "t", time: Timestamp(nanoseconds: 0), data: $0) }
    let batch = ColumnBatch(events: events, partition: PartitionID(0))
    #expect(batch.layout.columns.count > ColumnIndex.columnsMin)
    func kinds(_ path: [String]) -> [ValueKind] {
      var vector = ValueVector()
      batch.load(.data(path), into: &vector)
      return vector.kinds
    }
    #expect(kinds(["m7"]) == [.object, .object, .string])
    #expect(kinds(["m7", "value"]) == [.string, .double, .missing])
    #expect(kinds(["m8"]) == [.int, .missing, .missing])
    #expect(kinds(["m999", "unit"]) == [.string, .missing, .missing])
    #expect(kinds(["m1000"]) == [.missing, .missing, .missing])
    #expect(kinds([]) == [.object, .object, .object])
    #expect(batch.events() == events)
    let found = batch.layout.columnIndex.columns(atOrBelow: Array("\u{0}m7".utf8), in: batch)
    #expect(found.count == 3, "a string, and a string and a double below: no others are looked at")
  }

  @Test("rows of a range have the values they have in the whole batch, whichever way the column says where they are")
  func ranges() {
    // In all rows; in half of them, a bit a row; in few of them, a number each.
    let events = (0..<300).map { number in
      var data = JSONObject()
      data["all"] = .int(Int64(number))
      if number % 2 == 0 { data["half"] = .double(Double(number) / 4) }
      if number % 97 == 5 { data["few"] = .string("n\(number)") }
      data["flag"] = .bool(number % 3 == 0)
      return Event(source: "s", type: "t", time: Timestamp(nanoseconds: 0), data: .object(data))
    }
    let batch = ColumnBatch(events: events, partition: PartitionID(0))
    for range in [0..<300, 0..<1, 299..<300, 5..<6, 7..<9, 8..<16, 96..<205, 150..<150] {
      #expect(batch.events(range) == Array(events[range]), "\(range)")
    }
  }

  @Test("names that a batch would have to write out too often are refused: a long name above many values")
  func names() {
    let long = String(repeating: "n", count: 2000)
    func outcome(_ members: Int) -> String {
      let members = (0..<members).map { #""m\#($0)":0"# }.joined(separator: ",")
      let text = Array(#"{"source":"s","type":"t","data":{"\#(long)":{\#(members)}}}"#.utf8)
      let reader = EventReader()
      return (text + Array(repeating: 0, count: EventReader.padding)).withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<text.count]), framing: .single, arrival: Timestamp(nanoseconds: 0),
          defaultSource: nil)
        switch reader.next() {
        case .event: return "taken"
        case .reject(_, let reject): return reject.code.rawValue
        case nil: return "nothing"
        }
      }
    }
    #expect(outcome(500) == "taken")
    #expect(outcome(600) == "too_many_members")
  }

  @Test("many names in arrays are held against each other by hash: a name twice is found, of however many objects")
  func arrays() {
    var names = MemberNames()
    let text = (0..<20_000).map { "n\($0)" }.joined() + String(repeating: "\u{0}", count: 16)
    Array(text.utf8).withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      var starts: [EventTape.Slice] = []
      var at = 0
      for number in 0..<20_000 {
        let count = "n\(number)".utf8.count
        starts.append(EventTape.Slice(start: base + at, count: count))
        at += count
      }
      let first = names.beginObject(), second = names.beginObject()
      #expect(starts.allSatisfy { names.insert($0, in: first) })
      #expect(starts.allSatisfy { names.insert($0, in: second) })
      #expect(!starts.contains { names.insert($0, in: first) })
      names.removeAll()
      let third = names.beginObject()
      #expect(names.insert(starts[0], in: third) && !names.insert(starts[0], in: third))
    }
  }
}
