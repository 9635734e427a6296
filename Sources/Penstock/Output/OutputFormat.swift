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
}
