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
    for batch in [1, 100] {
      let messages = JSONBench.messages(batch: batch)
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
        "json  batch \(batch)  \(fixed(rate / 1e6, 2)) M events/s  \(fixed(1e9 / rate, 0)) ns/event  "
          + "\(bytes) B/event in, \(encoded / JSONBench.eventCount) B/event out")
    }
  }

  private static func messages(batch: Int) -> [[UInt8]] {
    (0..<eventCount / batch).map { message in
      let events = (0..<batch).map { index in
        let n = message * batch + index + 1
        return
          #"{"id":"\#(n)","source":"device/\#(n % 100)","type":"reading","#
          + #""time":"2024-05-01T12:\#(10 + n % 50):\#(10 + n % 40).123Z","#
          + #""sequence":\#(n),"data":{"value":\#(Double(n % 4000) / 100),"site":"ams-\#(n % 7)"}}"#
      }
      let text = batch == 1 ? events[0] : "[" + events.joined(separator: ",") + "]"
      return Array(text.utf8) + Array(repeating: 0, count: EventReader.padding)
    }
  }

  /// - Returns: Bytes of the batches.
  private static func read(_ messages: [[UInt8]]) throws -> Int {
    let reader = EventReader()
    let builders = (0..<partitionCount).map { ColumnBatchBuilder(partition: PartitionID($0)) }
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
          let builder = builders[Int(reader.sourceHash & UInt64(partitionCount - 1))]
          if builder.isFull { encoded += builder.seal(reader)?.encoded.count ?? 0 }
          builder.append(reader)
        }
      }
    }
    for builder in builders { encoded += builder.seal(reader)?.encoded.count ?? 0 }
    guard rejected == 0 else { throw BenchError("\(rejected) events were rejected") }
    return encoded
  }
}
