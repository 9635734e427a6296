import ArgumentParser
import Foundation
import Logging

/// `--log-level` and `--log-format`, on the commands that run services.
struct LogOptions: ParsableArguments {
  @Option(
    name: .customLong("log-level"),
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical, and of modules otherwise, as notice,ingest=debug; else PENSTOCK_LOG_LEVEL.",
      valueName: "level"), transform: parseLogLevels)
  var levels: LogLevels?

  @Option(
    name: .customLong("log-format"),
    help: "Else PENSTOCK_LOG_FORMAT, else text on a terminal and JSON lines otherwise.")
  var format: LogFormat?

  /// Sets up logging for the process; to be called once.
  func bootstrap(
    default defaultLevel: Logger.Level = .info, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws {
    let levels = try self.levels ?? levels(in: environment) ?? LogLevels()
    let format = try self.format ?? value("PENSTOCK_LOG_FORMAT", in: environment) { LogFormat(rawValue: $0.lowercased()) }
    bootstrapLogging(levels, default: defaultLevel, format: format, environment: environment)
  }

  private func levels(in environment: [String: String]) throws -> LogLevels? {
    guard let text = environment["PENSTOCK_LOG_LEVEL"], !text.isEmpty else { return nil }
    do throws(LogLevelsError) {
      return try LogLevels(parsing: text)
    } catch {
      throw CommandFailure("PENSTOCK_LOG_LEVEL: \(error)", exitCode: .usage)
    }
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

private func parseLogLevels(_ text: String) throws -> LogLevels {
  do throws(LogLevelsError) {
    return try LogLevels(parsing: text)
  } catch {
    throw ValidationError(error.description)
  }
}

extension LogFormat: ExpressibleByArgument {}
