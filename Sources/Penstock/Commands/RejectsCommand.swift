import ArgumentParser

struct RejectsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rejects",
    abstract: "Show the last events that were not taken, and why.",
    discussion: """
      The newest first, some of each reject code: whose they are, where they stood (message, event, byte), and what was sent of each.

      Sources whose duplicates may be none are named on standard error.
      """)

  @Option(help: ArgumentHelp("Rejects of this source only.", valueName: "source"))
  var source: String?

  @Option(help: ArgumentHelp("Rejects of this code only, as invalid_time.", valueName: "code"))
  var code: String?

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  private static let columns = [
    Table.Column("time"), Table.Column("code"), Table.Column("source"), Table.Column("message_number", isNumber: true),
    Table.Column("event", isNumber: true), Table.Column("position", isNumber: true), Table.Column("detail"),
    Table.Column("message"),
  ]

  func run() async throws {
    let query = [("source", source), ("code", code)].compactMap { name, value in value.map { (name: name, value: $0) } }
    let answer = try await service.client().get(["v1", "rejects"], query: query)
    guard let rejects = answer["rejects"]?.array else {
      throw CommandFailure("the answer has no rejects: is --url that of Penstock's query service?")
    }
    var table = Table(RejectsCommand.columns)
    for reject in rejects { table.append(RejectsCommand.columns.map { reject[$0.name] ?? .null }) }
    try outputOptions.write(table)
    for suspect in answer["suspects"]?.array ?? [] { StandardStream.error.note(RejectsCommand.note(suspect)) }
  }

  private static func note(_ suspect: RawJSON) -> String {
    func cell(_ name: String) -> String { suspect[name]?.cell ?? "" }
    return
      "penstock: \(cell("count")) events of \(cell("source")) were answered as duplicates, but are not in the log: the last has "
      + "sequence \(cell("sequence")), the log's last is \(cell("last_sequence")) of epoch \(cell("epoch")); raise the device's epoch"
  }
}
