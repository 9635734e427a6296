import Events

extension FuzzTarget {
  /// The event scanner, in each framing. The first byte chooses the framing.
  ///
  /// Accepted events make a batch that decodes to events that, written and read again, are the same. A text accepted as one JSON
  /// text is JSON.
  static let json = FuzzTarget(
    name: "json",
    dictionary: words(
      "\"", "{", "}", "[", "]", ":", ",", "\\u0000", "\\ud834\\udd1e", "\\", "null", "true", "1e308", "-0", "\"time\":",
      "\"source\":",
      "\"data\":", "\"sequence\":", "\"epoch\":", "18446744073709551616", "2024-02-30T24:00:60Z", "\u{7f}", "\u{FEFF}", "{\"a\":",
      "[[[[")
  ) {
    []
  } run: { input in
    guard let choice = input.first, String(validating: input.dropFirst(), as: UTF8.self) != nil else { return }
    let framing = [EventReader.Framing.json, .single, .lines][Int(choice % 3)]
    let text = Array(input.dropFirst())
    let (batch, rejects) = read(text, framing)
    guard let batch else { return }
    let events = batch.events()
    if case .lines = framing {
    } else if rejects == 0 {
      do throws(JSONError) { _ = try JSONValue(parsing: text) } catch {
        throw FuzzFinding("taken, though it is no JSON: \(error)")
      }
    }
    var again: [UInt8] = []
    for event in events {
      event.writeJSON(to: &again)
      again.append(0x0A)
    }
    let (second, secondRejects) = read(again, .lines)
    guard secondRejects == 0, second?.events() == events else {
      throw FuzzFinding("written and read again, the events are others")
    }
    var writer = EventLineWriter()
    _ = writer.append(batch, 0..<batch.count)
    let (third, thirdRejects) = read(writer.withBytes { Array($0) }, .lines)
    guard thirdRejects == 0, third?.events() == events else { throw FuzzFinding("the line writer's events are others") }
  }

  private static func read(_ text: [UInt8], _ framing: EventReader.Framing) -> (batch: ColumnBatch?, rejects: Int) {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    var rejects = 0
    (text + Array(repeating: 0, count: EventReader.padding)).withUnsafeBytes { bytes in
      reader.begin(
        message: UnsafeRawBufferPointer(rebasing: bytes[..<text.count]), framing: framing, arrival: Timestamp(nanoseconds: 1),
        defaultSource: Array("default".utf8))
      while let step = reader.next() {
        switch step {
        case .event where !builder.isFull: builder.append(reader)
        case .event: break
        case .reject: rejects += 1
        }
      }
    }
    guard let batch = builder.seal(reader) else { return (nil, rejects) }
    // As a reader of the log would, with every check.
    return (try? ColumnBatch(encoded: batch.encoded), rejects)
  }
}
