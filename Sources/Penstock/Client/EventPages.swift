/// Reads raw events page by page from `GET /v1/events`.
///
/// It asks with `follow=true` if it is to follow: the service then gives a cursor with every page, so that the next
/// request begins where this one ended.
struct EventPages {
  static let pageEvents = 1000
  /// The pause before asking again when there was nothing new.
  static let pollInterval = Duration.milliseconds(250)

  private let client: ServiceClient
  private let query: [(name: String, value: String)]
  private let limit: Int?
  private let follow: Bool
  private var isStarted = false
  private var cursor: String?
  private var count = 0

  init(client: ServiceClient, query: [(name: String, value: String)], limit: Int?, follow: Bool) {
    self.client = client
    self.query = query + (follow ? [("follow", "true")] : [])
    self.limit = limit
    self.follow = follow
  }

  /// The next events; empty where there is nothing new while following. Nil at the end, or once the limit is reached.
  mutating func next() async throws -> [RawJSON]? {
    guard !isStarted || cursor != nil, count < limit ?? .max else { return nil }
    var query = query
    query.append(("limit", "\(min(Self.pageEvents, (limit ?? .max) - count))"))
    if let cursor { query.append(("cursor", cursor)) }
    let answer = try await client.get(["v1", "events"], query: query)
    guard let events = answer["events"]?.array else {
      throw CommandFailure("the answer has no events: is --url that of Penstock's query service?")
    }
    let next = answer["next_cursor"]?.string
    guard next != nil || !follow else { throw CommandFailure("the service gave no cursor to follow from: a defect of its") }
    guard follow || next == nil || next != cursor else {
      throw CommandFailure("the service gave the same cursor twice: a defect of its")
    }
    isStarted = true
    cursor = next
    count += events.count
    return events
  }
}
