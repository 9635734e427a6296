import ArgumentParser

struct SourcesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sources",
    abstract: "List the sources: when each was heard of last, and what its clock says.",
    discussion: """
      Example: penstock sources --ahead (clocks that are ahead) · penstock sources --idle-for 1h --order last_append_time

      `ahead` is true for a source that sent an event further in the future than compute.clock_ahead_max.
      """)

  @Option(help: ArgumentHelp("Sources whose name begins with this.", valueName: "text"))
  var prefix: String?

  @Option(help: ArgumentHelp("This source only.", valueName: "source"))
  var source: String?

  @Option(
    help: ArgumentHelp(
      "source, largest_event_time, last_append_time or events; -column for descending (as --order=-events).", valueName: "column"))
  var order: String?

  @Option(help: ArgumentHelp("Sources that appended nothing for this long, as 1h.", valueName: "duration"))
  var idleFor: String?

  @Flag(help: "Sources whose clock is ahead.")
  var ahead = false

  @Option(help: ArgumentHelp("The most sources to print (default: all).", valueName: "n"))
  var limit: Int?

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  private static let columns = [
    Table.Column("source"), Table.Column("partition", isNumber: true), Table.Column("epoch", isNumber: true),
    Table.Column("sequence", isNumber: true), Table.Column("largest_event_time"), Table.Column("last_append_time"),
    Table.Column("events", isNumber: true), Table.Column("ahead"), Table.Column("idle_seconds", isNumber: true),
  ]

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit: expected 1 or more, not \(limit)") }
  }

  func run() async throws {
    var pages = SourcePages(client: try service.client(), query: parameters, limit: limit)
    var table = Table(SourcesCommand.columns)
    if outputOptions.output == .csv {
      // Reads page by page, so that a list of any length is printed in constant memory.
      try StandardStream.output.write(table.csvHeading())
      while let page = try await pages.next() {
        try StandardStream.output.write(page.map { table.csvRecord(cells(of: $0)) }.joined())
      }
    } else {
      for source in try await pages.all() { table.append(cells(of: source)) }
      try outputOptions.write(table)
    }
    if pages.hasMore, let limit { StandardStream.error.note("penstock: there are more than \(limit) sources: raise --limit") }
  }

  private var parameters: [(name: String, value: String)] {
    [("prefix", prefix), ("source", source), ("order", order), ("idle_for", idleFor), ("ahead", ahead ? "true" : nil)]
      .compactMap { name, value in value.map { (name, $0) } }
  }

  private func cells(of source: RawJSON) -> [RawJSON] { SourcesCommand.columns.map { source[$0.name] ?? .null } }
}
