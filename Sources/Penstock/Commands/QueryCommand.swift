import ArgumentParser

struct QueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Print the rows of a view; without one, run the query service of the mesh.",
    discussion: """
      Example: penstock query station_daily --from 2013-01-01T00:00:00Z --to 2013-02-01T00:00:00Z --group-by source --step 7d

      Without --limit all rows are printed. What the result is as of (the offsets counted) goes to standard error, and into the \
      JSON.
      """)

  @Argument(
    help: ArgumentHelp("The view's name; `penstock view list` prints all. Without it, this runs the service.", valueName: "view"))
  var view: String?

  @Option(help: ArgumentHelp("Windows that start at this time or later, RFC 3339.", valueName: "time"))
  var from: String?

  @Option(help: ArgumentHelp("Windows that start before this time, RFC 3339.", valueName: "time"))
  var to: String?

  @Option(
    name: .customLong("where"), help: ArgumentHelp("An expression over key columns, as source == \"a\".", valueName: "expression")
  )
  var filter: String?

  @Option(help: ArgumentHelp("Keys to keep, set off by commas; the others are merged away. \"\" merges all.", valueName: "keys"))
  var groupBy: String?

  @Option(help: ArgumentHelp("Merge windows into ones of this length, as 7d.", valueName: "duration"))
  var step: String?

  @Option(help: ArgumentHelp("Columns to order by, set off by commas; -column for descending.", valueName: "columns"))
  var order: String?

  @Option(help: ArgumentHelp("The most rows to print.", valueName: "n"))
  var limit: Int?

  @OptionGroup(title: "Options of the service") var serviceRun: ServiceRunOptions
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit: expected 1 or more, not \(limit)") }
  }

  func run() async throws {
    guard let view else { return try await serviceRun.run(.query) }
    var pages = ViewPages(client: try service.client(), view: view, query: parameters, limit: limit)
    try await print(&pages, of: view)
    if pages.hasMore, let limit { StandardStream.error.note("penstock: there are more than \(limit) rows: raise --limit") }
  }

  var parameters: [(name: String, value: String)] {
    [("from", from), ("to", to), ("where", filter), ("group_by", groupBy), ("step", step), ("order", order)]
      .compactMap { name, value in value.map { (name, $0) } }
  }

  private func print(_ pages: inout ViewPages, of view: String) async throws {
    let output = StandardStream.output
    switch outputOptions.output {
    case .csv:
      // Reads page by page, so a result of any size is printed in constant memory.
      var isFirst = true
      while let page = try await pages.next() {
        let table = Table(page.columns)
        if isFirst { try output.write(table.csvHeading()) }
        isFirst = false
        try output.write(page.rows.map { table.csvRecord(page.cells(of: $0)) }.joined())
      }
    case .table:
      let (first, rows) = try await pages.all()
      var table = Table(first.columns)
      for row in rows { table.append(first.cells(of: row)) }
      try output.write(table.rendered(color: outputOptions.color))
    case .json:
      let (first, rows) = try await pages.all()
      try output.write(first.document(rows: rows, nextCursor: pages.hasMore ? pages.cursor : nil))
    }
    // Every result says its offsets (`as_of`); JSON carries them itself.
    if outputOptions.output != .json, let asOf = pages.asOf {
      let rows = pages.count == 1 ? "1 row" : "\(grouped(pages.count)) rows"
      StandardStream.error.note("\(rows) of \(view), generation \(pages.generation ?? "?"), as of \(asOf)")
    }
    if let first = pages.firstAsOf, let last = pages.asOf, first != last {
      StandardStream.error.note("penstock: events were counted while the pages were read: rows are as of \(first) to \(last)")
    }
  }
}
