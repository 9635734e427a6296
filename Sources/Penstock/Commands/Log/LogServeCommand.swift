import ArgumentParser

struct LogServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Run the log service of the mesh; what `penstock log` alone does.",
    discussion: ServiceRunOptions.discussion)

  @OptionGroup var options: ServiceRunOptions

  func run() async throws { try await options.run(.log) }
}
