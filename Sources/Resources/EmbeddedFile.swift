import CResources

/// A file within the executable: there is no folder to lose. Sources/CResources/resources.c says where each comes from.
public enum EmbeddedFile: String, CaseIterable, Sendable {
  case indexPage = "index.html"
  case icon = "icon.svg"
  case consoleStyle = "console.css"
  case consoleScript = "console.js"
  case apiScript = "api.js"
  case domScript = "dom.js"
  case chartScript = "chart.js"
  case overviewScript = "overview.js"
  case viewsScript = "views.js"
  case sqlScript = "sql.js"
  case logScript = "log.js"
  case sourcesScript = "sources.js"
  case replayScript = "replay.js"
  case meshScript = "mesh.js"
  case queryOpenAPI = "query-openapi.json"
  case ingestOpenAPI = "ingest-openapi.json"
  case asyncAPI = "asyncapi.json"
  case logOpenAPI = "log-openapi.json"
  case computeOpenAPI = "compute-openapi.json"

  public var bytes: [UInt8] {
    guard let file = cresources_find(rawValue) else { preconditionFailure("resources.c has no \(rawValue)") }
    return Array(UnsafeBufferPointer(start: file.pointee.bytes, count: file.pointee.count))
  }
}
