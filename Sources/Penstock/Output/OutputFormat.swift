import ArgumentParser

enum OutputFormat: String, Sendable, CaseIterable, ExpressibleByArgument {
  case table
  case json
  case csv
}

/// `--output`, on every command that prints data.
struct OutputOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: "How to print: table, json or csv.")
  var output = OutputFormat.table

  /// Prints a table in the format asked for. As JSON, `answer` is printed as it came, where there is one.
  func write(_ table: Table, of answer: RawJSON? = nil) throws {
    if output == .json, let answer { return try StandardStream.output.write(answer.text + "\n") }
    try StandardStream.output.write(table.text(output, color: color))
  }
}
