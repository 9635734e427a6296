import ArgumentParser
import Events
import Log

struct LogListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print every partition: its offsets, size and times.",
    discussion: "Exits with 1 if a partition is damaged; `penstock log verify` says more of it.")

  @Flag(help: "Print a line for each segment.")
  var segments = false

  @OptionGroup var stored: StoredLogOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    let log = try stored.open()
    var problems: [LogError] = []
    var table = Table(segments ? Self.segmentColumns : Self.partitionColumns)
    for partition in try stored.partitions(of: log) {
      do throws(LogError) {
        let found = try log.partition(partition)
        if segments { Self.appendSegments(of: found, to: &table) } else { try Self.append(found, to: &table) }
      } catch {
        problems.append(error)
        let rest = table.columns.count - 2
        table.append([.number(partition.rawValue)] + Array(repeating: .null, count: rest) + [.string(error.code.rawValue)])
      }
    }
    try outputOptions.write(table)
    for problem in problems { StandardStream.error.note("penstock: \(problem)") }
    if !problems.isEmpty { throw ExitCode.failure }
  }

  private static let partitionColumns =
    [Table.Column("partition", isNumber: true)]
    + ["start_offset", "high_watermark", "events", "segments", "bytes"].map { Table.Column($0, isNumber: true) }
    + ["first_append_time", "last_append_time", "last_event_time"].map { Table.Column($0) } + [Table.Column("problem")]

  private static func append(_ found: StoredPartition, to table: inout Table) throws(LogError) {
    table.append([
      .number(found.partition.rawValue), .number(found.startOffset), .number(found.highWatermark), .number(found.eventCount),
      .number(found.segments.count), .number(found.bytes), .time(try found.firstAppendTime()),
      .time(found.segments.map(\.lastAppendTime).max()), .time(found.segments.map(\.lastEventTime).max()), .null,
    ])
  }

  private static let segmentColumns =
    ["partition", "start_offset", "end_offset", "events", "bytes"].map { Table.Column($0, isNumber: true) }
    + ["last_append_time", "last_event_time", "state", "problem"].map { Table.Column($0) }

  private static func appendSegments(of found: StoredPartition, to table: inout Table) {
    for (index, segment) in found.segments.enumerated() {
      table.append([
        .number(found.partition.rawValue), .number(segment.base), .number(segment.end),
        .number(segment.base.distance(to: segment.end)), .number(segment.bytes), .time(segment.lastAppendTime),
        .time(segment.lastEventTime), .string(index == found.segments.count - 1 ? "active" : "sealed"), .null,
      ])
    }
  }
}
