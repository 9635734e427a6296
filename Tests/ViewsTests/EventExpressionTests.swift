import Aggregates
import Events
import Expressions
import Testing

@testable import Views

/// A column batch of events as devices send them.
private func batch(_ events: [String]) throws -> ColumnBatch {
  let reader = EventReader()
  let builder = ColumnBatchBuilder(partition: PartitionID(0))
  let text = Array("[\(events.joined(separator: ","))]".utf8)
  let message = text + Array(repeating: 0, count: EventReader.padding)
  message.withUnsafeBytes { bytes in
    reader.begin(
      message: UnsafeRawBufferPointer(rebasing: bytes[..<text.count]), framing: .json, arrival: Timestamp(nanoseconds: 0),
      defaultSource: nil)
    while let step = reader.next() {
      if case .event = step { builder.append(reader) }
    }
  }
  return try #require(builder.seal(reader))
}

private let events = [
  #"{"source":"a","type":"t","time":"2013-01-01T00:00:00Z","id":"x","sequence":1,"#
    + #""data":{"temp":20,"site":"s","at":{"lat":1.5}}}"#,
  #"{"source":"b","type":"t","time":"2013-01-01T01:00:00Z","data":{"temp":20.5,"site":null,"at":{},"tags":[1,2]}}"#,
  #"{"source":"a","type":"u","time":"2013-01-02T00:00:00Z","subject":"q","#
    + #""data":{"temp":null,"site":7,"at":5,"big":99999999999999999999}}"#,
  #"{"source":"c","type":"t","time":"2013-01-02T00:00:00Z","data":{"temp":"hot","site":true}}"#,
  #"{"source":"c","type":"v","time":"2013-01-02T00:00:00Z","colour":"red"}"#,
]

/// T true, F false, E error; a letter an event.
@Test(
  "conditions over real events",
  arguments: [
    ("data.temp > 20", "FTEEE"), ("data.temp != null", "TTFTE"), ("data.temp == 20", "TFFFE"),
    (#"type == "t" && data.temp != null"#, "TTFTF"),
    ("has(data.temp)", "TTTTF"), ("has(data.at)", "TTTFF"), ("has(data.at.lat)", "TFEEE"), ("has(data)", "TTTTF"),
    ("has(subject)", "FFTFF"),
    ("has(sequence)", "TFFFF"), ("data.site == null", "FTFFE"), (#"data.site == "s""#, "TFFFE"),
    ("data.site in [7.0, true]", "FFTTE"),
    ("data.at == 5", "FFTEE"), ("data.big > 9223372036854775807", "EETEE"), (#"colour == "red""#, "EEEET"),
    ("data.tags != null", "ETEEE"),
    (#"time >= timestamp("2013-01-01T01:00:00Z")"#, "FTTTT"), (#"source in ["a", "c"]"#, "TFTTT"), (#"id == "x""#, "TEEEE"),
    ("data.at.lat + data.temp == 21.5", "TEEEE"), (#"source + type == "at""#, "TFFFF"), ("data.temp == 20 || true", "TTTTT"),
  ])
func overEvents(text: String, expected: String) throws {
  let rows = try batch(events)
  var scratch = EvaluationScratch()
  var result = ValueVector()
  try Expression(parsing: text).evaluate(over: rows, using: &scratch, into: &result)
  let letters = (0..<result.count).map { result.kinds[$0] != .bool ? "E" : result.bits[$0] != 0 ? "T" : "F" }.joined()
  #expect(letters == expected)
}

@Test("a sequence beyond the range of ints compares, groups and aggregates as the number it is, also where every event has one")
func bigSequences() throws {
  let half: UInt64 = 1 << 63
  let sequences: [UInt64] = [1, 1 << 62, half - 1, half, half + 1, .max - 1, .max]
  let rows = try batch(sequences.map { #"{"source":"a","type":"t","time":"2013-01-01T00:00:00Z","sequence":\#($0)}"# })
  var scratch = EvaluationScratch()
  var mask: [UInt8] = []
  for (condition, expected) in [
    ("sequence > 5", [0, 1, 1, 1, 1, 1, 1] as [UInt8]), ("sequence < 0", [0, 0, 0, 0, 0, 0, 0]),
    ("sequence >= 9223372036854775807", [0, 0, 1, 1, 1, 1, 1]), ("sequence == 9223372036854775808u", [0, 0, 0, 1, 0, 0, 0]),
    ("sequence > 9223372036854775808u", [0, 0, 0, 0, 1, 1, 1]), ("sequence == 9223372036854775809u", [0, 0, 0, 0, 1, 0, 0]),
    ("sequence == 18446744073709551615u", [0, 0, 0, 0, 0, 0, 1]), ("sequence == 18446744073709551616.0", [0, 0, 0, 0, 0, 0, 0]),
    ("sequence in [1, 9223372036854775808.0]", [1, 0, 0, 1, 0, 0, 0]),
    ("sequence != 9223372036854775808.0", [1, 1, 1, 0, 1, 1, 1]),
    ("sequence - 1 == 9223372036854775807", [0, 0, 0, 1, 0, 0, 0]),
    ("sequence - 9223372036854775808u >= 0", [0, 0, 0, 1, 1, 1, 1]),
    ("sequence / 2 > 4000000000000000000", [0, 0, 1, 1, 1, 1, 1]), ("sequence % 2 == 0", [0, 1, 0, 1, 0, 1, 0]),
    ("sequence / 2.0 > 4e18", [0, 0, 1, 1, 1, 1, 1]), ("-sequence < -9000000000000000000", [0, 0, 1, 1, 0, 0, 0]),
    ("sequence > epoch", [1, 1, 1, 1, 1, 1, 1]),
  ] {
    _ = try Expression(parsing: condition).select(from: rows, using: &scratch, into: &mask)
    #expect(mask == expected, "\(condition)")
  }
  var values = ValueVector()
  rows.load(.attribute("sequence"), into: &values)
  let keys = (0..<values.count).map { row in
    var key: [UInt8] = []
    KeyCodec.append(values.kinds[row], values.bits[row], rows, to: &key)
    return key
  }
  #expect(Set(keys).count == sequences.count)
  #expect(keys == keys.sorted { $0.lexicographicallyPrecedes($1) })
  let decoded: [ResultValue?] = sequences.map { $0 <= UInt64(Int64.max) ? .int(Int64($0)) : .uint($0) }
  let read: [ResultValue?] = keys.map { KeyCodec.decode($0)?.first }
  #expect(read == decoded)

  let columns = [AggregateFunction.max, .min, .first, .last, .countDistinct]
  let layout = StateLayout(columns.map { .init(function: $0, argument: 0, argumentType: .uint64) })
  let doubles = StateLayout([AggregateFunction.max, .min].map { .init(function: $0, argument: 0) })
  // Each event alone, all together, and the states of each merged in both orders.
  func state(_ layout: StateLayout, _ chosen: [Int]) -> [UInt64] {
    var states = StateRows(layout: layout)
    states.append()
    values.kinds.indices.map { Int32(chosen.contains($0) ? 0 : -1) }.withUnsafeBufferPointer { slots in
      values.kinds.indices.map { Int64($0) }.withUnsafeBufferPointer { times in
        _ = states.fold(argument: 0, values, StateRows.Batch(slots: slots, times: times, baseOffset: .zero)) { _, _ in }
      }
    }
    var words: [UInt64] = []
    states.appendCanonical(0, to: &words)
    return words
  }
  func results(_ layout: StateLayout, _ words: [UInt64]) -> [ResultValue] {
    words.withUnsafeBufferPointer { layout.values(of: $0) }
  }
  let all = Array(sequences.indices)
  for row in all {
    let value = try #require(decoded[row])
    let wanted: [ResultValue] = [value, value, value, value, .int(1)]
    let found = results(layout, state(layout, [row]))
    #expect(found == wanted)
  }
  let whole = state(layout, all)
  let ofAll: [ResultValue] = [.uint(.max), .int(1), .int(1), .uint(.max), .int(7)]
  #expect(results(layout, whole) == ofAll)
  let asDoubles: [ResultValue] = [.double(0x1p64), .double(1)]
  #expect(results(doubles, state(doubles, all)) == asDoubles)
  let (here, next) = (ResultValue.uint(half), ResultValue.uint(half + 1))
  let ofTwo: [ResultValue] = [next, here, here, next, .int(2)]
  #expect(results(layout, state(layout, [3, 4])) == ofTwo)
  for order in [all, all.reversed()] {
    var merged = StateRows(layout: layout)
    merged.append()
    for row in order { state(layout, [row]).withUnsafeBufferPointer { merged.merge(into: 0, $0) } }
    var words: [UInt64] = []
    merged.appendCanonical(0, to: &words)
    #expect(words == whole)
    // As stored, and read back; a cut or an extended one is refused.
    var bytes: [UInt8] = []
    words.withUnsafeBufferPointer { StateCodec.encode($0, to: &bytes) }
    var read: [UInt64] = []
    let isRead = bytes.withUnsafeBytes { StateCodec.decode($0, layout, appendingTo: &read) }
    #expect(isRead && read == whole)
    let isCutRead = bytes.dropLast(8).withUnsafeBytes { StateCodec.decode($0, layout, appendingTo: &read) }
    #expect(!isCutRead)
    merged.reset(0)
    words = []
    merged.appendCanonical(0, to: &words)
    #expect(words == layout.initialWords)
  }
}

@Test("a state of before integers were exact is read as it was")
func earlierExtremes() {
  let layout = StateLayout([.init(function: .max, argument: 0, argumentType: .uint64)])
  let words = [(0x1p63).bitPattern]
  words.withUnsafeBufferPointer { words in
    #expect(layout.isCanonical(words))
    #expect(layout.value(of: 0, in: words) == .uint(1 << 63))
  }
  let none = [(-Double.infinity).bitPattern]
  none.withUnsafeBufferPointer { none in
    #expect(layout.isCanonical(none))
    #expect(layout.value(of: 0, in: none) == .null)
  }
  let integer: UInt64 = 0x7FF8 << 48
  let unsigned: UInt64 = 1 << 50
  let damagedStates: [[UInt64]] = [
    [Double.nan.bitPattern], [integer | 1, 5], [integer | unsigned | 1, 1 << 63], [integer | 2, 1, 1],
  ]
  for damaged in damagedStates {
    #expect(!damaged.withUnsafeBufferPointer { layout.isCanonical($0) }, "\(damaged)")
  }
}

@Test("aggregates over real events: ints and doubles of one field are one column of numbers")
func foldEvents() throws {
  let rows = try batch(events)
  let layout = StateLayout([
    .init(function: .countRows, argument: nil), .init(function: .count, argument: 0), .init(function: .sum, argument: 0),
    .init(function: .avg, argument: 0), .init(function: .min, argument: 0), .init(function: .max, argument: 0),
  ])
  var scratch = EvaluationScratch()
  var values = ValueVector()
  try Expression(parsing: "data.temp").evaluate(over: rows, using: &scratch, into: &values)
  var states = StateRows(layout: layout)
  states.append()
  var unusable = 0
  Array(repeating: Int32(0), count: rows.count).withUnsafeBufferPointer { slots in
    let batch = StateRows.Batch(slots: slots, times: UnsafeBufferPointer(start: nil, count: 0), baseOffset: .zero)
    states.foldRows(batch)
    unusable = states.fold(argument: 0, values, batch) { _, _ in }
  }
  var state: [UInt64] = []
  states.appendCanonical(0, to: &state)
  let results = state.withUnsafeBufferPointer { layout.values(of: $0) }
  #expect(results == [.int(5), .int(3), .double(40.5), .double(20.25), .double(20), .double(20.5)])
  #expect(unusable == 3)
}
