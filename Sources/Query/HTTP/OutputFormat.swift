/// How an answer's rows are written.
enum OutputFormat: String, Sendable, CaseIterable {
  case json, csv, ndjson

  var contentType: String {
    switch self {
    case .json: "application/json"
    case .csv: "text/csv; charset=utf-8; header=present"
    case .ndjson: "application/x-ndjson"
    }
  }

  private var mediaTypes: [String] {
    switch self {
    case .json: ["application/json", "application/*", "*/*"]
    case .csv: ["text/csv", "text/*"]
    case .ndjson: ["application/x-ndjson", "application/ndjson"]
    }
  }

  /// `format=` decides, else `Accept`, else JSON.
  /// - Parameter offered: What this answer can be written as; the first is the default.
  static func choose(
    _ parameter: String?, accept: String?, among offered: [OutputFormat] = allCases
  ) throws(QueryFailure) -> OutputFormat {
    if let parameter {
      guard let format = OutputFormat(rawValue: parameter), offered.contains(format) else {
        let names = offered.map(\.rawValue).joined(separator: ", ")
        throw .parameter("format", "expected one of \(names), found '\(parameter.prefix(40))'")
      }
      return format
    }
    guard let accept, !accept.isEmpty, accept != "*/*", accept != "application/json" else { return .json }
    var best: (format: OutputFormat, quality: Double)?
    for range in accept.split(separator: ",") {
      let parts = range.split(separator: ";").map { $0.drop { $0 == " " || $0 == "\t" } }
      guard let first = parts.first else { continue }
      let type = String(first).lowercased().split(separator: " ").first.map(String.init) ?? ""
      var quality = 1.0
      for part in parts.dropFirst() where part.lowercased().hasPrefix("q=") {
        quality = Double(part.dropFirst(2).filter { $0 != " " }) ?? 0
      }
      guard quality > 0, let format = offered.first(where: { $0.mediaTypes.contains(type) }) else { continue }
      if quality > best?.quality ?? 0 { best = (format, quality) }
    }
    guard let best else {
      let types = offered.map { $0.mediaTypes[0] }.joined(separator: ", ")
      throw QueryFailure(406, "not_acceptable", "this is written as \(types), none of which 'Accept' takes")
    }
    return best.format
  }
}
