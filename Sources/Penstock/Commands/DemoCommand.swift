import ArgumentParser

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Stream the bundled weather data through Penstock, as its devices would, and show the results.",
    discussion: """
      Runs `penstock up` in a temporary folder, streams a year of hourly weather from three airports over WebSocket, waits until \
      all of it is queryable, prints results and the console's address, and serves on until Ctrl-C.
      """)

  @Flag(help: "Exit once the results are printed.")
  var once = false

  @OptionGroup var configuration: ConfigurationOptions
  @OptionGroup var log: LogOptions

  func run() async throws {
    let settings = try configuration.load().settings
    // A demonstration's reader wants results; warnings still show.
    try log.bootstrap(default: .warning)
    try await Demo.run(settings, once: once)
  }
}
