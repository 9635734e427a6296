import ArgumentParser

struct LogCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "The log: the service of the mesh.",
    subcommands: [LogServeCommand.self], defaultSubcommand: LogServeCommand.self)
}
