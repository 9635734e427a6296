/// Reads the list of sources page by page from `GET /v1/sources`.
struct SourcePages {
  /// Sources asked for at once: by another order than the names' each page costs a look at all.
  static let pageSources = 10_000
  /// Sources kept where all are needed before any is printed.
  static let bufferedMax = 1_000_000

  private let client: ServiceClient
  private let query: [(name: String, value: String)]
  private let limit: Int?
  private var isStarted = false
  private var cursor: String?
  private var count = 0

  /// - Parameter limit: The most sources, over all pages; nil for all.
  init(client: ServiceClient, query: [(name: String, value: String)], limit: Int?) {
    self.client = client
    self.query = query
    self.limit = limit
  }

  var hasMore: Bool { cursor != nil }

  /// The next sources. Nil after the last ones, or once the limit is reached.
  mutating func next() async throws -> [RawJSON]? {
    guard !isStarted || (cursor != nil && count < limit ?? .max) else { return nil }
    var query = query
    query.append(("limit", "\(min(Self.pageSources, (limit ?? .max) - count))"))
    if let cursor { query.append(("cursor", cursor)) }
    let answer = try await client.get(["v1", "sources"], query: query)
    guard let sources = answer["sources"]?.array else {
      throw CommandFailure("the answer has no sources: is --url that of Penstock's query service?")
    }
    let next = answer["next_cursor"]?.string
    guard next == nil || next != cursor else { throw CommandFailure("the service gave the same cursor twice: a defect of its") }
    isStarted = true
    cursor = next
    count += sources.count
    return sources
  }

  mutating func all() async throws -> [RawJSON] {
    var sources: [RawJSON] = []
    while let page = try await next() {
      guard sources.count + page.count <= Self.bufferedMax else {
        throw CommandFailure("more than \(grouped(Self.bufferedMax)) sources: pass --output csv, which streams them, or --limit")
      }
      sources += page
    }
    return sources
  }
}
