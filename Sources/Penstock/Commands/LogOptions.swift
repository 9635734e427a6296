import ArgumentParser
import Foundation
import Logging

/// `--log-level` and `--log-format`, on the commands that run services.
struct LogOptions: ParsableArguments {
  @Option(
    name: .customLong("log-level"),
    help: ArgumentHelp("trace, debug, info, notice, warning, error or critical; else PENSTOCK_LOG_LEVEL.", valueName: "level"),
    transform: parseLogLevel)
  var level: Logger.Level?

  @Option(
    name: .customLong("log-format"),
    help: "Else PENSTOCK_LOG_FORMAT, else text on a terminal and JSON lines otherwise.")
  var format: LogFormat?

  /// Sets up logging for the process; once.
  func bootstrap(
    default defaultLevel: Logger.Level = .info, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws {
    let level = try self.level ?? value("PENSTOCK_LOG_LEVEL", in: environment) { Logger.Level(rawValue: $0.lowercased()) }
    let format = try self.format ?? value("PENSTOCK_LOG_FORMAT", in: environment) { LogFormat(rawValue: $0.lowercased()) }
    bootstrapLogging(level: level ?? defaultLevel, format: format, environment: environment)
  }

  private func value<Value>(
    _ variable: String, in environment: [String: String], _ parse: (String) -> Value?
  ) throws -> Value? where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    guard let text = environment[variable], !text.isEmpty else { return nil }
    guard let value = parse(text) else {
      let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
      throw CommandFailure("\(variable): expected one of \(known), not '\(text.prefix(64))'", exitCode: .usage)
    }
    return value
  }
}

private func parseLogLevel(_ text: String) throws -> Logger.Level {
  guard let level = Logger.Level(rawValue: text.lowercased()) else {
    throw ValidationError("expected one of " + Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))
  }
  return level
}

extension LogFormat: ExpressibleByArgument {}
