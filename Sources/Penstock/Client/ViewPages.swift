/// Reads the rows of a view page by page, following cursors up to a limit.
struct ViewPages {
  /// Rows asked for at once.
  static let pageRows = 1000
  /// Rows kept where all are needed before any is printed.
  static let bufferedRowsMax = 1_000_000

  /// One answer of `GET /v1/views/{view}`.
  struct Page {
    /// The answer's members, in order.
    let members: [RawJSON.Member]
    let columns: [Table.Column]
    let rows: [RawJSON]

    init(_ answer: RawJSON, view: String) throws {
      guard case .object(let members) = answer, let rows = answer["rows"]?.array, let listed = answer["columns"]?.array else {
        throw CommandFailure("the answer has no rows and columns: is --url that of Penstock's query service?")
      }
      self.members = members
      self.rows = rows
      var types: [(name: String, type: String)] = []
      for column in listed {
        guard let name = column["name"]?.string else { throw CommandFailure("the answer has a column without a name") }
        types.append((name, column["type"]?.string ?? ""))
      }
      // Members of a row that the columns don't list come first, in the rows' order.
      let known = Set(types.map(\.name))
      if case .object(let members)? = rows.first {
        let unlisted = members.map(\.name).filter { !known.contains($0) }
        types = unlisted.map { ($0, "") } + types
      }
      columns = types.map { name, type in
        Table.Column(name, isNumber: ["double", "float", "int", "int64", "integer", "uint64", "number"].contains(type))
      }
    }

    func cells(of row: RawJSON) -> [RawJSON] { columns.map { row[$0.name] ?? .null } }

    /// This answer with all pages' rows, one a line.
    func document(rows: [RawJSON], nextCursor: String?) -> String {
      var out = "{"
      for (index, member) in members.enumerated() {
        if index > 0 { out += "," }
        writeJSONString(member.name, to: &out)
        out += ":"
        switch member.name {
        case "rows":
          out += rows.isEmpty ? "[]" : "[\n" + rows.map(\.text).joined(separator: ",\n") + "\n]"
        case "next_cursor":
          (nextCursor.map(RawJSON.string) ?? .null).write(to: &out)
        default: member.value.write(to: &out)
        }
      }
      return out + "}\n"
    }
  }

  private let client: ServiceClient
  private let view: String
  private let query: [(name: String, value: String)]
  private let limit: Int?
  private var isStarted = false
  /// The cursor of the next page; nil at the end.
  private(set) var cursor: String?
  /// The number of rows given so far.
  private(set) var count = 0
  private(set) var generation: String?
  /// The offset vector of the first page and of the latest.
  private(set) var firstAsOf: String?
  private(set) var asOf: String?

  /// - Parameter limit: The most rows, over all pages; nil for all.
  init(client: ServiceClient, view: String, query: [(name: String, value: String)], limit: Int?) {
    self.client = client
    self.view = view
    self.query = query
    self.limit = limit
  }

  var hasMore: Bool { cursor != nil }

  /// The next page. Nil after the last one, or once the limit is reached. The first page always comes, even without rows.
  mutating func next() async throws -> Page? {
    guard !isStarted || (cursor != nil && count < limit ?? .max) else { return nil }
    var query = query
    query.append(("limit", "\(min(Self.pageRows, (limit ?? .max) - count))"))
    if let cursor { query.append(("cursor", cursor)) }
    let answer = try await client.get(["v1", "views", view], query: query)
    let page = try Page(answer, view: view)
    let next = answer["next_cursor"]?.string
    guard next == nil || next != cursor else { throw CommandFailure("the service gave the same cursor twice: a defect of its") }
    isStarted = true
    cursor = next
    count += page.rows.count
    generation = answer["generation"]?.text
    asOf = answer["as_of"]?.text
    firstAsOf = firstAsOf ?? asOf
    return page
  }

  mutating func all() async throws -> (first: Page, rows: [RawJSON]) {
    guard let first = try await next() else { preconditionFailure("the first page always comes") }
    var rows = first.rows
    while let page = try await next() {
      guard rows.count + page.rows.count <= Self.bufferedRowsMax else {
        throw CommandFailure("more than \(grouped(Self.bufferedRowsMax)) rows: pass --output csv, which streams them, or --limit")
      }
      rows += page.rows
    }
    return (first, rows)
  }
}
