import ArgumentParser
import Foundation

struct ReplayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Reprocess the log into a new generation of a view, beside the live one.",
    discussion: """
      Example: penstock replay station_daily --from earliest --promote

      Follows the replay until it has caught up; Ctrl-C leaves it running, and it goes on by itself after a restart. Without --promote it \
      then waits: `penstock view diff` compares, `penstock view promote` swaps, `penstock view drop` ends it.
      """)

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view"))
  var view: String

  @Option(help: ArgumentHelp("earliest, a time (RFC 3339), or offsets as {\"0\":118}.", valueName: "start"))
  var from = "earliest"

  @Option(help: ArgumentHelp("A time or offsets to end at (default: to the end, and on).", valueName: "end"))
  var to: String?

  @Flag(help: "Take over by itself when it has caught up.")
  var promote = false

  @Flag(help: "Only say how many events it would read, and how long that takes.")
  var dryRun = false

  @Option(help: ArgumentHelp("Another allowed lateness, as 10d: counts events that were late.", valueName: "duration"))
  var allowedLateness: String?

  @Flag(help: "Do not follow it: print its id and end.")
  var detach = false

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func validate() throws {
    if promote, to != nil {
      throw ValidationError("--promote and --to exclude each other: a replay that ends counts no more events")
    }
  }

  func run() async throws {
    let client = try service.client()
    let begun = try await client.send(
      "POST", ["v1", "views", view, "replays"],
      body: RawJSON.body([
        ("from", .string(from)), ("to", to.map { .string($0) }), ("promote", promote ? .bool(true) : nil),
        ("dry_run", dryRun ? .bool(true) : nil), ("allowed_lateness", allowedLateness.map { .string($0) }),
      ]))
    if dryRun { return try printEstimate(begun) }
    guard let id = begun["id"]?.string else {
      throw CommandFailure("the answer has no id: is --url that of Penstock's query service?")
    }
    let last = detach ? begun : try await follow(client, id, begun)
    try GenerationTable.print([last], outputOptions)
  }

  private func printEstimate(_ estimate: RawJSON) throws {
    var table = Table([
      Table.Column("view"), Table.Column("events", isNumber: true), Table.Column("events_per_second", isNumber: true),
      Table.Column("seconds", isNumber: true), Table.Column("from"), Table.Column("to"),
    ])
    table.append(["view", "events", "events_per_second", "seconds", "from", "to"].map { estimate[$0] ?? .null })
    try outputOptions.write(table, of: estimate)
  }

  private func follow(_ client: ServiceClient, _ id: String, _ begun: RawJSON) async throws -> RawJSON {
    var status = begun
    var bar = ProgressBar(
      "replaying \(view) into generation \(id)", total: status["events_total"]?.integer, unit: "events")
    defer { bar.finish() }
    while status["state"]?.string == "building" {
      if let problem = status["problem"]?.string { throw CommandFailure("the replay reads no further: \(problem)") }
      bar.update(status["events_done"]?.integer ?? 0)
      // Four times a second: nobody reads faster.
      try await Task.sleep(for: .milliseconds(250))
      status = try await client.get(["v1", "views", view, "replays", id])
    }
    return status
  }
}
