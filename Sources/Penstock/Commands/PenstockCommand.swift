import ArgumentParser

/// The version that `--version`, `/metrics` and the services report.
let penstockVersion = "0.1.0"

struct PenstockCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "penstock",
    abstract: "Devices stream events in; windowed views of them answer queries, exactly once.",
    discussion: """
      Start with `penstock demo`: it streams real weather data through the whole of it and shows the results.

      Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 verification found a difference.
      """,
    version: "penstock \(penstockVersion)",
    subcommands: [
      UpCommand.self, DemoCommand.self, IngestCommand.self, LogCommand.self, ComputeCommand.self, QueryCommand.self,
      SendCommand.self, SimulateCommand.self, SQLCommand.self, EventsCommand.self, SourcesCommand.self, RejectsCommand.self,
      TopCommand.self, ViewCommand.self, ReplayCommand.self, ConfigCommand.self,
    ])
}
