import ArgumentParser
import Events
import Log

struct LogCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "The log: the service of the mesh, and tools for what lies on disk.",
    discussion: """
      Alone it is the service. list, inspect, verify and export read a data folder as it lies, also while a server writes it: they take \
      no lock and change nothing. repair and retain change it, and are refused while a server has it open.
      """,
    subcommands: [
      LogServeCommand.self, LogListCommand.self, LogInspectCommand.self, LogVerifyCommand.self, LogExportCommand.self,
      LogRepairCommand.self, LogRetainCommand.self,
    ], defaultSubcommand: LogServeCommand.self)
}

/// `--config`, `--data`, and the choice of partitions.
struct StoredLogOptions: ParsableArguments {
  @OptionGroup var configuration: ConfigurationOptions

  @Option(
    name: .customLong("partition"), help: ArgumentHelp("Only this partition; repeatable (default: all).", valueName: "n"))
  var numbers: [UInt16] = []

  func directory() throws -> String { try configuration.load().settings.data }
  func open() throws -> StoredLog { try StoredLog(directory: try directory()) }

  func partitions(of log: StoredLog) throws -> [PartitionID] {
    for number in numbers where Int(number) >= log.partitionCount {
      throw CommandFailure("--partition: the log has partitions 0 to \(log.partitionCount - 1), not \(number)", exitCode: .usage)
    }
    return numbers.isEmpty ? log.partitions : numbers.map { PartitionID($0) }
  }
}

/// A moment on the command line: RFC 3339, or a date alone for its beginning.
func parseMoment(_ text: String) throws -> Timestamp {
  guard let time = Timestamp(rfc3339: text) ?? Timestamp(rfc3339: text + "T00:00:00Z") else {
    throw ValidationError("expected an RFC 3339 time, as 2013-01-01T00:00:00Z, or a date, not '\(text.prefix(64))'")
  }
  return time
}

extension RawJSON {
  static func number(_ value: some BinaryInteger) -> RawJSON { .number("\(value)") }
  static func number(_ offset: Offset) -> RawJSON { .number("\(offset)") }
  /// Null for a time that stands for none.
  static func time(_ time: Timestamp?) -> RawJSON {
    time.flatMap { $0.nanoseconds == .min ? nil : .string($0.description) } ?? .null
  }
}
