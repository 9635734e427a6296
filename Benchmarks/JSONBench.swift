import ArgumentParser
import Events

struct JSONBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "json", abstract: "JSON text to column batches, on one core.")

  @Option(help: "Runs, of which the median is given.")
  var runs = 5

  private static let eventCount = 100_000
  private static let partitionCount = 8

  func run() throws {
    try measure("batch 1", JSONBench.messages(batch: 1, JSONBench.event))
    try measure("batch 100", JSONBench.messages(batch: 100, JSONBench.event))
    var shapes = MixedShapes(isShuffled: false)
    try measure("batch 1, 8 shapes", JSONBench.messages(batch: 1) { shapes.event($0) })
    var shuffled = MixedShapes(isShuffled: true)
    try measure("batch 1, 8 shapes, members in any order", JSONBench.messages(batch: 1) { shuffled.event($0) })
  }

  private func measure(_ name: String, _ messages: [[UInt8]]) throws {
    let bytes = messages.reduce(0) { $0 + $1.count - EventReader.padding } / JSONBench.eventCount
    var seconds: [Double] = []
    var encoded = 0
    for _ in 0..<runs {
      let clock = ContinuousClock()
      let start = clock.now
      encoded = try JSONBench.read(messages)
      seconds.append(clock.now - start > .zero ? (clock.now - start) / .seconds(1) : 0)
    }
    let rate = Double(JSONBench.eventCount) / median(seconds)
    print(
      "json  \(name)  \(fixed(rate / 1e6, 2)) M events/s  \(fixed(1e9 / rate, 0)) ns/event  "
        + "\(bytes) B/event in, \(encoded / JSONBench.eventCount) B/event out")
  }

  private static func event(_ n: Int) -> String {
    #"{"id":"\#(n)","source":"device/\#(n % 100)","type":"reading","#
      + #""time":"2024-05-01T12:\#(10 + n % 50):\#(10 + n % 40).123Z","#
      + #""sequence":\#(n),"data":{"value":\#(Double(n % 4000) / 100),"site":"ams-\#(n % 7)"}}"#
  }

  /// Events of eight shapes at random: each has a type and a member of `data` of its own.
  private struct MixedShapes {
    let isShuffled: Bool
    private var random = SplitMix64(state: 1)

    init(isShuffled: Bool) { self.isShuffled = isShuffled }

    mutating func event(_ n: Int) -> String {
      let shape = Int.random(in: 0..<8, using: &random)
      var data = [#""value\#(shape)":\#(Double(n % 4000) / 100)"#, #""site":"ams-\#(n % 7)""#]
      if isShuffled { data.shuffle(using: &random) }
      var members = [
        #""id":"\#(n)""#, #""source":"device/\#(n % 100)""#, #""type":"reading-\#(shape)""#,
        #""time":"2024-05-01T12:\#(10 + n % 50):\#(10 + n % 40).123Z""#, #""sequence":\#(n)"#,
        #""data":{\#(data.joined(separator: ","))}"#,
      ]
      if isShuffled { members.shuffle(using: &random) }
      return "{" + members.joined(separator: ",") + "}"
    }
  }

  /// The same numbers each time. Source: Guy L. Steele, Doug Lea, Christine H. Flood, 2014.
  private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
      return mixed ^ mixed >> 31
    }
  }

  private static func messages(batch: Int, _ event: (Int) -> String) -> [[UInt8]] {
    (0..<eventCount / batch).map { message in
      let events = (0..<batch).map { event(message * batch + $0 + 1) }
      let text = batch == 1 ? events[0] : "[" + events.joined(separator: ",") + "]"
      return Array(text.utf8) + Array(repeating: 0, count: EventReader.padding)
    }
  }

  /// - Returns: Bytes of the batches.
  private static func read(_ messages: [[UInt8]]) throws -> Int {
    let reader = EventReader()
    let builders = (0..<partitionCount).map { ColumnBatchBuilder(partition: PartitionID($0)) }
    let columns = builders.map(\.unownedColumns)
    var encoded = 0, rejected = 0
    for message in messages {
      message.withUnsafeBytes { bytes in
        reader.begin(
          message: UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - EventReader.padding)]), framing: .json,
          arrival: Timestamp(nanoseconds: 0), defaultSource: nil)
        while let step = reader.next() {
          guard case .event = step else {
            rejected += 1
            continue
          }
          let partition = Int(reader.sourceHash & UInt64(partitionCount - 1))
          if columns[partition].isFull { encoded += builders[partition].seal(reader)?.encoded.count ?? 0 }
          columns[partition].append(reader)
        }
      }
    }
    for builder in builders { encoded += builder.seal(reader)?.encoded.count ?? 0 }
    guard rejected == 0 else { throw BenchError("\(rejected) events were rejected") }
    return encoded
  }
}
