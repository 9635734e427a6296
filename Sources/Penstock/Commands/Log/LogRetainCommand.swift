import ArgumentParser
import Events
import Log

struct LogRetainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retain", abstract: "Show, or delete with --force, the segments that retention would.",
    discussion: """
      A running server enforces log.retention by itself and keeps what its views have not counted. This command does not know of views: with \
      --force it deletes what age and size say, and a view that had not come that far must be computed anew from what is left. \
      The server must be stopped for that.
      """)

  @Option(help: ArgumentHelp("Segments whose last append is older (default: log.retention.age).", valueName: "duration"))
  var age: String?

  @Option(help: ArgumentHelp("The most bytes a partition keeps (default: log.retention.bytes).", valueName: "size"))
  var bytes: String?

  @Flag(help: "Delete them, whatever views still need.")
  var force = false

  @OptionGroup var stored: StoredLogOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    let retention = try self.retention()
    let log = try stored.open()
    var table = Table(
      ["partition", "start_offset", "new_start_offset", "segments", "bytes"].map { Table.Column($0, isNumber: true) })
    let trim = force ? try LogTrim(log) : nil
    for partition in try stored.partitions(of: log) {
      let found = try log.partition(partition)
      let surplus = found.surplus(retention, at: .systemNow(), floor: log.ageFloor)
      table.append([
        .number(partition.rawValue), .number(found.startOffset), .number(surplus.last?.end ?? found.startOffset),
        .number(surplus.count), .number(surplus.reduce(0) { $0 + $1.bytes }),
      ])
      try trim?.remove(surplus, of: partition)
    }
    try outputOptions.write(table)
    if !force { StandardStream.error.note("nothing was deleted; --force does it") }
  }

  private func retention() throws -> LogConfiguration.Retention {
    var retention = try stored.configuration.load().settings.log.configuration.retention
    if let age {
      guard let duration = Duration(settingText: age) else {
        throw CommandFailure("--age: expected a duration, as 30d or 12h, not '\(age.prefix(64))'", exitCode: .usage)
      }
      retention.age = duration
    }
    if let bytes {
      guard let size = ByteCount(parsing: bytes) else {
        throw CommandFailure("--bytes: expected a size, as 64MiB or 10GiB, not '\(bytes.prefix(64))'", exitCode: .usage)
      }
      retention.bytes = size.bytes
    }
    guard retention != LogConfiguration.Retention() else {
      throw CommandFailure("neither --age nor --bytes is given, and log.retention keeps all", exitCode: .usage)
    }
    return retention
  }
}
