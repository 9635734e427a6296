import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// `GET` requests to the query service.
struct QueryAPI: Sendable {
  struct Page<Row: Decodable & Sendable>: Decodable, Sendable {
    var rows: [Row]?
    var events: [Row]?
    var next_cursor: String?
  }

  let port: Int

  func get(_ path: String, _ parameters: [(String, String)]) async throws -> (status: Int, body: Data) {
    var parts = URLComponents()
    parts.scheme = "http"
    parts.host = "127.0.0.1"
    parts.port = port
    parts.path = path
    parts.queryItems = parameters.map { URLQueryItem(name: $0.0, value: $0.1) }
    parts.percentEncodedQuery = parts.percentEncodedQuery?.replacingOccurrences(of: "+", with: "%2B")
    guard let url = parts.url else { throw EndToEndError("no URL of \(path)") }
    var request = URLRequest(url: url)
    request.timeoutInterval = 120
    let (body, response) = try await URLSession.shared.data(for: request)
    guard let response = response as? HTTPURLResponse else { throw EndToEndError("no HTTP response") }
    return (response.statusCode, body)
  }

  /// All pages' rows.
  func all<Row: Decodable & Sendable>(_: Row.Type, _ path: String, _ parameters: [(String, String)]) async throws -> [Row] {
    var rows: [Row] = []
    var cursor: String?
    repeat {
      let (status, body) = try await get(path, parameters + (cursor.map { [("cursor", $0)] } ?? []))
      guard status == 200 else { throw EndToEndError("\(path) gave \(status): \(String(decoding: body, as: UTF8.self))") }
      let page = try JSONDecoder().decode(Page<Row>.self, from: body)
      rows += page.rows ?? page.events ?? []
      guard page.next_cursor == nil || page.next_cursor != cursor else { throw EndToEndError("the same cursor twice") }
      cursor = page.next_cursor
    } while cursor != nil
    return rows
  }
}
