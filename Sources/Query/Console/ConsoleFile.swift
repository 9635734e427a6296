import Events
import Resources

/// One file of the console from the executable, with the values that HTTP caches need.
struct ConsoleFile: Sendable {
  let contentType: String
  let bytes: [UInt8]
  let gzip: [UInt8]
  /// A strong validator, in quotes.
  let etag: String

  private init(_ contentType: String, _ file: EmbeddedFile) {
    self.contentType = contentType
    bytes = file.bytes
    // If there is no memory to compress, the file is sent uncompressed.
    gzip = Gzip.compress(bytes) ?? []
    etag = "\"" + String(bytes.withUnsafeBytes { stableHash($0) }, radix: 16) + "\""
  }

  private static let script = "text/javascript; charset=utf-8"

  static let index = ConsoleFile("text/html; charset=utf-8", .indexPage)

  /// The files below `/console/`, by name.
  static let parts: [String: ConsoleFile] = [
    "icon.svg": ConsoleFile("image/svg+xml", .icon),
    "console.css": ConsoleFile("text/css; charset=utf-8", .consoleStyle),
    "console.js": ConsoleFile(script, .consoleScript),
    "api.js": ConsoleFile(script, .apiScript),
    "dom.js": ConsoleFile(script, .domScript),
    "chart.js": ConsoleFile(script, .chartScript),
    "overview.js": ConsoleFile(script, .overviewScript),
    "views.js": ConsoleFile(script, .viewsScript),
    "sql.js": ConsoleFile(script, .sqlScript),
    "log.js": ConsoleFile(script, .logScript),
    "sources.js": ConsoleFile(script, .sourcesScript),
    "replay.js": ConsoleFile(script, .replayScript),
    "mesh.js": ConsoleFile(script, .meshScript),
  ]
}
