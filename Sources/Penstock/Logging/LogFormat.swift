import Foundation
import Logging

enum LogFormat: String, Sendable, CaseIterable {
  /// `07:36:53.118 warning log: partition recovered  partition=3 cut=128`
  case text
  /// One JSON object a line.
  case json
}

/// Sends every `Logger` to standard error: text on a terminal, JSON lines otherwise. Call it once, before the first logger is
/// made.
func bootstrapLogging(
  _ levels: LogLevels, default defaultLevel: Logger.Level, format: LogFormat?, environment: [String: String]
) {
  let stream = StandardStream.error
  let format = format ?? (stream.isTerminal ? .text : .json)
  let color = usesColor(stream, environment: environment)
  LoggingSystem.bootstrap { label in
    LineLogHandler(
      label: label, level: levels.level(of: label, default: defaultLevel), format: format, color: color
    ) { stream.note($0) }
  }
}
