import ArgumentParser

struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events",
    abstract: "Print raw events from the log, one JSON object a line.",
    discussion: "Each event carries its place in the log as `logpartition` and `logoffset`.")

  @Option(help: ArgumentHelp("Events of this source only.", valueName: "source"))
  var source: String?

  @Option(help: ArgumentHelp("Events of this type only.", valueName: "type"))
  var type: String?

  @Option(help: ArgumentHelp(#"Events of this time or later, RFC 3339; or from offsets on, as '{"0":118}'."#, valueName: "time"))
  var from: String?

  @Option(help: ArgumentHelp("Events before this time, RFC 3339.", valueName: "time"))
  var to: String?

  @Flag(help: "Go on with events as they are appended, until Ctrl-C.")
  var follow = false

  @Option(help: ArgumentHelp("The most events to print (default: all).", valueName: "n"))
  var limit: Int?

  @OptionGroup var service: ServiceOptions

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit: expected 1 or more, not \(limit)") }
  }

  func run() async throws {
    let query = [("source", source), ("type", type), ("from", from), ("to", to)]
      .compactMap { name, value in value.map { (name: name, value: $0) } }
    var pages = EventPages(client: try service.client(), query: query, limit: limit, follow: follow)
    while let events = try await pages.next() {
      if events.isEmpty {
        try await Task.sleep(for: EventPages.pollInterval)
      } else {
        try StandardStream.output.write(events.map { $0.text + "\n" }.joined())
      }
    }
  }
}
