import Events

/// One file of the console, as it lies in the executable, with what HTTP caches need.
struct ConsoleFile: Sendable {
  let contentType: String
  let bytes: [UInt8]
  let gzip: [UInt8]
  /// A strong validator, in quotes.
  let etag: String

  private init(_ contentType: String, _ bytes: [UInt8]) {
    self.contentType = contentType
    self.bytes = bytes
    // Without memory to compress, the file goes out as it is.
    gzip = Gzip.compress(bytes) ?? []
    etag = "\"" + String(bytes.withUnsafeBytes { stableHash($0) }, radix: 16) + "\""
  }

  private static let script = "text/javascript; charset=utf-8"

  /// The page, which `/` answers.
  static let index = ConsoleFile("text/html; charset=utf-8", PackageResources.index_html)

  /// What the page asks for below `/console/`, by name.
  static let parts: [String: ConsoleFile] = [
    "icon.svg": ConsoleFile("image/svg+xml", PackageResources.icon_svg),
    "console.css": ConsoleFile("text/css; charset=utf-8", PackageResources.console_css),
    "console.js": ConsoleFile(script, PackageResources.console_js),
    "api.js": ConsoleFile(script, PackageResources.api_js),
    "dom.js": ConsoleFile(script, PackageResources.dom_js),
    "chart.js": ConsoleFile(script, PackageResources.chart_js),
    "overview.js": ConsoleFile(script, PackageResources.overview_js),
    "views.js": ConsoleFile(script, PackageResources.views_js),
    "sql.js": ConsoleFile(script, PackageResources.sql_js),
    "log.js": ConsoleFile(script, PackageResources.log_js),
    "replay.js": ConsoleFile(script, PackageResources.replay_js),
    "mesh.js": ConsoleFile(script, PackageResources.mesh_js),
  ]
}
