import ArgumentParser
import Events
import Log

struct LogInspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Print batches and their events as they lie in the log.",
    discussion: """
      JSON: an array of batches, one a line, each with its place, sizes, times and `events`. Table and CSV: a line for each event.
      """)

  @Option(help: ArgumentHelp("Begin with the event at this offset (default: the first kept).", valueName: "offset"))
  var from: Int64?

  @Option(
    help: ArgumentHelp("Only events of this time or later, RFC 3339 or a date.", valueName: "time"), transform: parseMoment)
  var time: Timestamp?

  @Option(help: ArgumentHelp("The most events to print (default: all).", valueName: "n"))
  var limit: Int?

  @Flag(help: "Batches only, without their events; --limit then counts batches.")
  var headers = false

  @Flag(help: "Also whole batches behind the high watermark, which the next start would keep.")
  var tail = false

  @OptionGroup var stored: StoredLogOptions

  @Option(name: .shortAndLong, help: "How to print: table, json or csv.")
  var output = OutputFormat.json

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit: expected 1 or more, not \(limit)") }
    if let from, from < 0 { throw ValidationError("--from: expected an offset of 0 or more, not \(from)") }
  }

  func run() throws {
    let log = try stored.open()
    var printer = BatchPrinter(format: output, hasEvents: !headers)
    var left = limit ?? .max
    try printer.begin()
    for partition in try stored.partitions(of: log) where left > 0 {
      let found = try log.partition(partition, includingTail: tail)
      let times = time.map { $0.nanoseconds..<Int64.max }
      var batches = try StoredBatches(found, from: from.map { Offset($0) }, times: times)
      while left > 0, let next = try batches.next() {
        left -= try printer.print(next, from: from.map { Offset($0) } ?? .zero, times: times, limit: left)
      }
    }
    try printer.end()
  }
}

/// Writes batches one by one, so a log of any size can be printed.
private struct BatchPrinter {
  let format: OutputFormat
  let hasEvents: Bool
  private var isFirst = true
  private var table: Table

  init(format: OutputFormat, hasEvents: Bool) {
    self.format = format
    self.hasEvents = hasEvents
    let numbers =
      hasEvents ? ["partition", "offset"] : ["partition", "base_offset", "end_offset", "events", "segment", "position", "bytes"]
    let texts =
      hasEvents
      ? ["append_time", "time", "source", "type", "id", "sequence", "epoch", "subject", "data"]
      : ["codec", "first_event_time", "last_event_time", "append_time"]
    table = Table(numbers.map { Table.Column($0, isNumber: true) } + texts.map { Table.Column($0) })
  }

  func begin() throws {
    switch format {
    case .json: try StandardStream.output.write("[")
    case .csv: try StandardStream.output.write(table.csvHeading())
    case .table: break
    }
  }

  func end() throws {
    switch format {
    case .json: try StandardStream.output.write(isFirst ? "]\n" : "\n]\n")
    case .csv: break
    case .table: try StandardStream.output.write(table.rendered())
    }
  }

  /// - Returns: The number of printed lines that count towards the limit.
  mutating func print(_ stored: StoredBatch, from start: Offset, times: Range<Int64>?, limit: Int) throws -> Int {
    let header = stored.batch.header
    var events: [(offset: Offset, event: Event)] = []
    if hasEvents {
      for (row, event) in stored.batch.events().enumerated() {
        let offset = header.baseOffset.advanced(by: row)
        guard offset >= start, times?.contains(event.time.nanoseconds) ?? true, events.count < limit else { continue }
        events.append((offset, event))
      }
      if events.isEmpty { return 0 }
    }
    switch format {
    case .json:
      try StandardStream.output.write((isFirst ? "\n" : ",\n") + json(stored, events))
      isFirst = false
    case .csv, .table:
      let rows = hasEvents ? events.map { row(header, $0.offset, $0.event) } : [row(stored)]
      if format == .csv {
        try StandardStream.output.write(rows.map(table.csvRecord).joined())
      } else {
        rows.forEach { table.append($0) }
      }
    }
    return hasEvents ? events.count : 1
  }

  private func json(_ stored: StoredBatch, _ events: [(offset: Offset, event: Event)]) -> String {
    let header = stored.batch.header
    var members: [RawJSON.Member] = [
      .init(name: "partition", value: .number(header.partition.rawValue)), .init(name: "segment", value: .number(stored.segment)),
      .init(name: "position", value: .number(stored.position)), .init(name: "bytes", value: .number(header.batchBytes)),
      .init(name: "base_offset", value: .number(header.baseOffset)), .init(name: "end_offset", value: .number(header.endOffset)),
      .init(name: "count", value: .number(header.count)), .init(name: "codec", value: .string("\(header.codec)")),
      .init(name: "inflated_bytes", value: .number(header.inflatedBytes)),
      .init(name: "first_event_time", value: .time(header.firstEventTime)),
      .init(name: "last_event_time", value: .time(header.lastEventTime)),
      .init(name: "append_time", value: .time(header.appendTime)),
    ]
    if hasEvents {
      // Events have their own writer; a number spelled by it goes through as it is.
      let texts = events.map { offset, event in
        var text: [UInt8] = []
        event.writeJSON(
          to: &text, extra: [("logpartition", .int(Int64(header.partition.rawValue))), ("logoffset", .int(offset.rawValue))])
        return RawJSON.number(String(decoding: text, as: UTF8.self))
      }
      members.append(.init(name: "events", value: .array(texts)))
    }
    return RawJSON.object(members).text
  }

  private func row(_ header: BatchHeader, _ offset: Offset, _ event: Event) -> [RawJSON] {
    [
      .number(header.partition.rawValue), .number(offset), .time(header.appendTime), .time(event.time), .string(event.source),
      .string(event.type), event.id.map { .string($0) } ?? .null, event.sequence.map { .number($0) } ?? .null,
      event.epoch.map { .number($0) } ?? .null, event.subject.map { .string($0) } ?? .null,
      event.data.map { .number($0.text) } ?? .null,
    ]
  }

  private func row(_ stored: StoredBatch) -> [RawJSON] {
    let header = stored.batch.header
    return [
      .number(header.partition.rawValue), .number(header.baseOffset), .number(header.endOffset), .number(header.count),
      .number(stored.segment), .number(stored.position), .number(header.batchBytes), .string("\(header.codec)"),
      .time(header.firstEventTime), .time(header.lastEventTime), .time(header.appendTime),
    ]
  }
}
