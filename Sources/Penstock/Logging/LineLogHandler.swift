import Foundation
import Logging

/// Writes each entry as one line, in one write, so that lines of several threads do not mix.
struct LineLogHandler: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?
  private let label: String
  private let format: LogFormat
  private let color: Bool
  private let write: @Sendable (String) -> Void

  init(
    label: String, level: Logger.Level, format: LogFormat, color: Bool = false, write: @escaping @Sendable (String) -> Void
  ) {
    self.label = label
    self.logLevel = level
    self.format = format
    self.color = color
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
    if let given = event.metadata { all.merge(given) { $1 } }
    write(line(at: Date(), level: event.level, message: "\(event.message)", metadata: all))
  }

  /// The line, without its end.
  func line(at time: Date, level: Logger.Level, message: String, metadata: Logger.Metadata) -> String {
    switch format {
    case .text: textLine(at: time, level: level, message: message, metadata: metadata)
    case .json: jsonLine(at: time, level: level, message: message, metadata: metadata)
    }
  }

  private func jsonLine(at time: Date, level: Logger.Level, message: String, metadata: Logger.Metadata) -> String {
    var members = [
      RawJSON.Member(name: "time", value: .string(time.formatted(timeStyle))),
      RawJSON.Member(name: "level", value: .string(level.rawValue)),
      RawJSON.Member(name: "logger", value: .string(label)),
      RawJSON.Member(name: "message", value: .string(message)),
    ]
    let taken = Set(members.map(\.name))
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      // Most readers keep only one of two members with the same name.
      members.append(RawJSON.Member(name: taken.contains(key) ? "metadata.\(key)" : key, value: json(value)))
    }
    return RawJSON.object(members).text
  }

  private func json(_ value: Logger.Metadata.Value) -> RawJSON {
    switch value {
    case .string(let text): .string(text)
    case .stringConvertible(let value as any BinaryInteger): .number("\(value)")
    case .stringConvertible(let value as Bool): .bool(value)
    case .stringConvertible(let value as Double) where value.isFinite: .number("\(value)")
    case .stringConvertible(let value): .string(value.description)
    case .array(let values): .array(values.map(json))
    case .dictionary(let values):
      .object(values.sorted { $0.key < $1.key }.map { RawJSON.Member(name: $0.key, value: json($0.value)) })
    }
  }

  private func textLine(at time: Date, level: Logger.Level, message: String, metadata: Logger.Metadata) -> String {
    let stamp = time.formatted(timeStyle).dropFirst(11).dropLast()
    var out = "\(stamp) \(colored(level)) \(label): \(oneLine(message))"
    if !metadata.isEmpty {
      out += " " + metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\(quotedIfNeeded("\($0.value)"))" }.joined()
    }
    return out
  }

  private func colored(_ level: Logger.Level) -> String {
    let name = level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
    guard color else { return name }
    let code =
      switch level {
      case .trace, .debug: "2"
      case .info, .notice: "36"
      case .warning: "33"
      case .error, .critical: "31"
      }
    return "\u{1B}[\(code)m\(name)\u{1B}[0m"
  }
}

private let timeStyle = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

/// A message may contain text that a device sent. That text must not be able to forge a line or reach the terminal.
private func oneLine(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
  return text.unicodeScalars.reduce(into: "") { out, scalar in
    if scalar.properties.generalCategory == .control {
      out += scalar == "\n" ? "\\n" : "\\u{\(String(scalar.value, radix: 16))}"
    } else {
      out.unicodeScalars.append(scalar)
    }
  }
}

private func quotedIfNeeded(_ text: String) -> String {
  guard text.isEmpty || text.contains(where: { $0 == " " || $0 == "=" || $0 == "\"" || $0.isNewline }) else {
    return oneLine(text)
  }
  var out = ""
  writeJSONString(text, to: &out)
  return out
}
