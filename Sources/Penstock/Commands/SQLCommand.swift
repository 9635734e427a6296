import ArgumentParser
import Foundation

struct SQLCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sql",
    abstract: "Run read-only SQL over the views.",
    discussion: """
      Each view is a table with its result's columns; several may be joined. The dialect is SQLite's.

      Example: penstock sql "SELECT source, max(temp_max) FROM station_daily WHERE window_start >= '2013-07-01' GROUP BY source"

      What the result is as of goes to standard error, and into the JSON.
      """)

  @Argument(help: ArgumentHelp("One SELECT statement.", valueName: "statement"))
  var statement: String

  @Option(help: ArgumentHelp("The most rows to print.", valueName: "n"))
  var limit = 1000

  @Option(help: ArgumentHelp("How long the statement may run, as 30s; at most 1m.", valueName: "duration"))
  var timeout: String?

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit: expected 1 or more, not \(limit)") }
  }

  func run() async throws {
    let answer = try await service.client().send("POST", ["v1", "sql"], body: body)
    guard let columns = answer["columns"]?.array, let rows = answer["rows"]?.array else {
      throw CommandFailure("the answer has no rows and columns: is --url that of Penstock's query service?")
    }
    var table = Table(
      columns.map { column in
        Table.Column(
          column["name"]?.string ?? "", isNumber: ["double", "int64", "uint64"].contains(column["type"]?.string ?? ""))
      })
    let names = columns.map { $0["name"]?.string ?? "" }
    for row in rows { table.append(names.map { row[$0] ?? .null }) }
    let output = StandardStream.output
    switch outputOptions.output {
    case .csv:
      try output.write(table.csvHeading())
      try output.write(rows.map { row in table.csvRecord(names.map { row[$0] ?? .null }) }.joined())
    case .table: try output.write(table.rendered(color: outputOptions.color))
    case .json: try output.write(answer.text + "\n")
    }
    if outputOptions.output != .json, let asOf = answer["as_of"] {
      StandardStream.error.note("\(rows.count == 1 ? "1 row" : "\(grouped(rows.count)) rows"), as of \(asOf.text)")
    }
    if answer["truncated"]?.text == "true" {
      StandardStream.error.note("penstock: there are more than \(limit) rows: raise --limit")
    }
  }

  private var body: String {
    RawJSON.body([("sql", .string(statement)), ("limit", .number("\(limit)")), ("timeout", timeout.map { .string($0) })])
  }
}
