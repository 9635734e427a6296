import Logging

/// The lowest severity that is written: for all modules, and for modules with a level of their own.
struct LogLevels: Hashable, Sendable {
  /// The modules whose loggers have a level of their own: `penstock.NAME`.
  static let modules = ["ingest", "log", "compute", "query", "mesh", "lifecycle"]

  /// Nil where only modules are named.
  var base: Logger.Level?
  var byModule: [String: Logger.Level] = [:]

  init(_ base: Logger.Level? = nil, _ byModule: [String: Logger.Level] = [:]) {
    self.base = base
    self.byModule = byModule
  }

  /// Reads `info`, `warning,ingest=debug`, `log=trace,compute=debug`; case does not matter.
  /// - Throws: A text that says what was expected.
  init(parsing text: String) throws(LogLevelsError) {
    for part in text.lowercased().split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false)
      guard let level = Logger.Level(rawValue: String(sides[sides.count - 1])), sides.count <= 2 else {
        throw LogLevelsError(
          "expected one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")), not '\(part.prefix(64))'")
      }
      if sides.count == 1 {
        guard base == nil else { throw LogLevelsError("two levels for all modules: '\(text.prefix(64))'") }
        base = level
      } else {
        let module = String(sides[0])
        guard LogLevels.modules.contains(module) else {
          throw LogLevelsError("no module '\(module.prefix(64))': it is one of \(LogLevels.modules.joined(separator: ", "))")
        }
        guard byModule.updateValue(level, forKey: module) == nil else { throw LogLevelsError("two levels for \(module)") }
      }
    }
  }

  /// - Parameter label: A logger's label: `penstock.ingest` or, for a part of the module, `penstock.log.stored`.
  func level(of label: String, default defaultLevel: Logger.Level) -> Logger.Level {
    let module = label.split(separator: ".").dropFirst().first.map(String.init)
    return module.flatMap { byModule[$0] } ?? base ?? defaultLevel
  }
}

struct LogLevelsError: Error, Hashable, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension Logger {
  /// The logger of one module of the process. Its level may be set apart from the others'.
  static func module(_ name: String) -> Logger {
    precondition(LogLevels.modules.contains(name), "a module that has no level of its own")
    return Logger(label: "penstock.\(name)")
  }
}
