import TestSupport
import Testing

@testable import Events

@Suite("Reading by the literals met before gives what reading token by token gives")
struct PredictedLayoutTests {
  /// A reader and its builder, and all that they gave: every event's place and time, every reject, every batch.
  private final class Reading {
    let reader: EventReader
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    private(set) var steps: [String] = []

    init(predicts: Bool) { reader = EventReader(predictsLayout: predicts) }

    func read(_ message: [UInt8], _ framing: EventReader.Framing = .json, source: [UInt8]? = nil) {
      (message + Array(repeating: 0, count: EventReader.padding)).withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<message.count]), framing: framing,
          arrival: Timestamp(nanoseconds: 1), defaultSource: source)
        while let step = reader.next() { note(step) }
      }
      if reader.needsReset {
        seal()
        reader.resetPaths()
      }
    }

    private func note(_ step: EventReader.Step) {
      switch step {
      case .event(let index):
        if builder.isFull { seal() }
        builder.append(reader)
        let time = reader.hasTime ? "\(reader.time)" : "of arrival"
        steps.append("event \(index), \(reader.eventBytes) bytes, time \(time), hash \(reader.sourceHash)")
      case .reject(let index, let reject):
        let rejected = reader.rejected(isWhole: false)
        let place = "\(index.map(String.init) ?? "message") at \(rejected.position), \(rejected.bytes.count) bytes"
        steps.append("reject \(place), of \(rejected.source.map { Array($0) } ?? []): \(reject.code) \(reject.detail)")
      }
      steps.append("at \(reader.position)")
    }

    func seal() { steps.append("batch \(builder.seal(reader)?.encoded.description ?? "none")") }
  }

  /// - Returns: The first step that differs, as the two have it; nil where all are the same.
  private func difference(_ a: Reading, _ b: Reading) -> String? {
    a.seal()
    b.seal()
    guard a.steps != b.steps else { return nil }
    let first = zip(a.steps, b.steps).first { $0 != $1 }
    return "\(first?.0 ?? "\(a.steps.count) steps") | \(first?.1 ?? "\(b.steps.count) steps")"
  }

  @Test("whatever the messages", arguments: DifferentialSeeds.range(8))
  func fuzzed(seed: UInt64) {
    var generator = MessageGenerator(seed: seed)
    let predicting = Reading(predicts: true), plain = Reading(predicts: false)
    for _ in 0..<1200 {
      let framing = generator.pick([EventReader.Framing.json, .single, .lines])
      let message = generator.message(framing)
      let source: [UInt8]? = generator.chance(20) ? Array("default".utf8) : nil
      predicting.read(message, framing, source: source)
      plain.read(message, framing, source: source)
      if generator.chance(1) {
        predicting.seal()
        plain.seal()
      }
    }
    let found = difference(predicting, plain)
    #expect(found == nil, "seed \(seed)")
  }

  static let typical = #"""
    {"id":"17","source":"device/7","type":"reading","time":"2024-05-01T12:34:56.123Z","sequence":4711,"data":{"value":21.53,"site":"ams-1"}}
    """#

  @Test("after every change of one byte, and cut at every byte", arguments: [false, true])
  func mutatedEverywhere(inArray: Bool) {
    let event = Array(Self.typical.utf8)
    let predicting = Reading(predicts: true), plain = Reading(predicts: false)
    func read(_ changed: [UInt8]) {
      let message = inArray ? Array("[".utf8) + changed + Array(",".utf8) + event + Array("]".utf8) : changed
      for reading in [predicting, plain] {
        // The literals just met are those of the event itself.
        reading.read(event)
        reading.read(message)
      }
    }
    for place in event.indices {
      for byte in 1...UInt8(0x7F) where !inArray || byte % 3 == 0 {
        var changed = event
        changed[place] = byte
        read(changed)
      }
      read(Array(event[..<place]))
      read(Array(event[..<place]) + Array(event[(place + 1)...]))
      for token in "\"\\{}[],: 0e.".utf8 { read(Array(event[..<place]) + [token] + Array(event[place...])) }
    }
    #expect(difference(predicting, plain) == nil)
  }

  @Test("with more layouts than are remembered")
  func manyLayouts() {
    let predicting = Reading(predicts: true), plain = Reading(predicts: false)
    var generator = MessageGenerator(seed: 5)
    for number in 0..<4000 {
      // Each name comes before each other, with a comma in one of three spellings: far more literals than the table holds.
      let names = (0..<3).map { _ in "m\(generator.below(60))" }
      let members = names.enumerated().map { "\"\($1)_\($0)\":\(number)" }.joined(separator: generator.pick([",", ", ", " ,"]))
      let message = Array(#"{"source":"s","type":"t","data":{\#(members)}}"#.utf8)
      predicting.read(message)
      plain.read(message)
    }
    #expect(predicting.reader.withScanner { $0.literals.count } > 500)
    #expect(difference(predicting, plain) == nil)
  }

  @Test("an event's literals are remembered once, and events like it add none")
  func remembered() {
    let reading = Reading(predicts: true), plain = Reading(predicts: false)
    for number in 0..<50 {
      let text = Self.typical.replacing("4711", with: "\(number)").replacing("21.53", with: "\(number).5")
      reading.read(Array(text.utf8))
      plain.read(Array(text.utf8))
    }
    // One for the event's start, one for none, one before each of the seven values, and the end.
    #expect(reading.reader.withScanner { $0.literals.count } == 10)
    #expect(plain.reader.withScanner { $0.literals.count } == 2)
  }

  @Test("a full table is forgotten, but not soon again")
  func forgotten() {
    var table = LiteralTable()
    func learn(_ number: Int, events: Int) -> UInt32 {
      (Array(",\"m\(number)\":".utf8) + Array(repeating: 0, count: EventReader.padding)).withUnsafeBufferPointer { text in
        table.learn(
          after: Int32(number / 4), LiteralTable.start, text.baseAddress!, count: text.count - EventReader.padding,
          LiteralTable.Literal(value: .number, path: Int32(number)), events: events)
      }
    }
    for number in 0..<LiteralTable.literalsMax - 2 { #expect(learn(number, events: 0) == UInt32(number + 2)) }
    #expect(table.count == LiteralTable.literalsMax)
    #expect(learn(0, events: LiteralTable.eventsKeptMin - 1) == LiteralTable.none)
    #expect(table.count == LiteralTable.literalsMax)
    #expect(learn(0, events: LiteralTable.eventsKeptMin) == LiteralTable.none)
    #expect(table.count == 2)
    #expect(learn(7, events: LiteralTable.eventsKeptMin) == 2)
    #expect(table[2].path == 7)
    #expect(table[LiteralTable.start].next == 2)
  }

  @Test("a value keeps its bounds when its layout is known")
  func bounds() {
    let predicting = Reading(predicts: true), plain = Reading(predicts: false)
    for reading in [predicting, plain] {
      for _ in 0..<2 { reading.read(Array(Self.typical.utf8)) }
      for count in [0, 1, EventReader.attributeBytesMax, EventReader.attributeBytesMax + 1] {
        let text = String(repeating: "x", count: count)
        for member in ["id", "source", "type", "region"] {
          let other = member == "source" ? #""type":"t""# : member == "type" ? #""source":"s""# : #""source":"s","type":"t""#
          for value in ["a", text] { reading.read(Array(#"{"\#(member)":"\#(value)",\#(other)}"#.utf8)) }
        }
      }
      for count in [EventReader.stringBytesMax, EventReader.stringBytesMax + 1] {
        let text = String(repeating: "x", count: count)
        for value in ["a", text] { reading.read(Array(#"{"source":"s","type":"t","data":{"a":"\#(value)"}}"#.utf8)) }
      }
      for count in [EventReader.leavesMax, EventReader.leavesMax + 1] {
        for value in ["1", "\"x\""] {
          let members = (0..<count).map { "\"m\($0)\":\(value)" }.joined(separator: ",")
          reading.read(Array(#"{"source":"s","type":"t","data":{\#(members)}}"#.utf8))
        }
      }
    }
    for code in ["stringTooLong", "tooManyMembers"] { #expect(predicting.steps.contains { $0.contains(code) }) }
    #expect(difference(predicting, plain) == nil)
  }

  @Test("a string column outgrows sixteen bits of codes")
  func manyStrings() throws {
    let reading = Reading(predicts: true)
    let rows = 5000, columns = 16
    for row in 0..<rows {
      let members = (0..<columns).map { "\"c\($0)\":\"\(row * columns + $0)\"" }.joined(separator: ",")
      reading.read(Array(#"{"source":"s","type":"t","data":{\#(members)}}"#.utf8))
      if reading.builder.isFull { break }
    }
    let batch = try #require(reading.builder.seal(reading.reader))
    for (row, event) in batch.events().enumerated() {
      guard case .object(let members)? = event.data else { return #expect(Bool(false), "row \(row) has no data") }
      for column in 0..<columns where members["c\(column)"] != .string("\(row * columns + column)") {
        Issue.record("row \(row), column \(column): \(String(describing: members["c\(column)"]))")
        return
      }
    }
    #expect(batch.count * columns > 1 << 16)
  }
}
