import ArgumentParser
import Logging

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Run all four services in one process; no other server is needed.",
    discussion: """
      Prints `listening NAME ADDRESS:PORT` on standard error for each listener once it accepts connections. SIGTERM or SIGINT \
      drains: stop accepting, finish, sync, checkpoint, exit 0.
      """)

  @OptionGroup var configuration: ConfigurationOptions
  @OptionGroup var log: LogOptions

  func run() async throws {
    let settings = try configuration.load().settings
    try log.bootstrap()
    let logger = Logger(label: "penstock")
    for notice in settings.notices { logger.warning("\(notice)") }
    try await Services.up(settings)
  }
}
