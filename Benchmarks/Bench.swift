import ArgumentParser

@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures the parts of Penstock. Build with -c release.",
    subcommands: [
      Parts.self, JSONBench.self, AppendBench.self, FoldBench.self, VolumeBench.self, Load.self, Visible.self, IngestNull.self,
      FleetBench.self, SocketFloor.self, SourcesBench.self, RunsBench.self, Check.self,
    ],
    defaultSubcommand: Parts.self)
}

struct Parts: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "parts", abstract: "json, append and fold, one after the other. ops/bench adds what needs a server.")

  func run() async throws {
    try JSONBench.parse([]).run()
    for events in ["100", "1000", "6000"] { try await AppendBench.parse(["--events", events]).run() }
    for keys in ["125", "12500"] { try await FoldBench.parse(["--keys", keys]).run() }
  }
}
