import ArgumentParser

@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures the parts of Penstock. Build with -c release.",
    subcommands: [JSONBench.self, IngestNull.self, Load.self])
}
