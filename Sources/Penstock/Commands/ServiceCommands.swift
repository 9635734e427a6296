import ArgumentParser
import Logging

struct IngestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ingest", abstract: "Run the ingest service of the mesh: devices connect to it.",
    discussion: ServiceRunOptions.discussion)

  @OptionGroup var options: ServiceRunOptions

  func run() async throws { try await options.run(.ingest) }
}

struct ComputeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compute", abstract: "Run a compute service of the mesh: it keeps the views.",
    discussion: ServiceRunOptions.discussion)

  @OptionGroup var options: ServiceRunOptions

  func run() async throws { try await options.run(.compute) }
}

struct ServiceRunOptions: ParsableArguments {
  static let discussion = """
    Prints `listening NAME ADDRESS:PORT` on standard error once it accepts connections. SIGTERM or SIGINT drains: stop accepting, finish, \
    sync, checkpoint, leave the mesh, exit 0. `penstock up` runs all four services in one process and needs no mesh.
    """

  @OptionGroup var configuration: ConfigurationOptions
  @OptionGroup var log: LogOptions

  /// For tests and measurements on one machine; in operation services find each other through the mesh.
  @Option(
    name: .customLong("loopback-peer"),
    help: ArgumentHelp(
      "Reach a service by plain text on this machine, as log=7000; repeatable.", valueName: "service=port", visibility: .hidden))
  var loopbackPeers: [String] = []

  @Flag(help: ArgumentHelp("As --loopback-peer, for a service that reaches no other.", visibility: .hidden))
  var loopback = false

  func run(_ service: ServiceName) async throws {
    let settings = try configuration.load().settings
    try log.bootstrap()
    let logger = Logger(label: "penstock")
    for notice in settings.notices { logger.warning("\(notice)") }
    #if Secure
      let plain = loopback || !loopbackPeers.isEmpty ? try LoopbackMesh(loopbackPeers) : nil
      try await Services.run(service, settings) { group in
        if let plain { return plain }
        return try Services.mesh(of: service, settings, group: group, logger: logger)
      }
    #else
      throw CommandFailure(
        "this penstock was built without the trait Secure, which holds the mesh: build it with `swift build`, without "
          + "--disable-default-traits; or run all services in one process with `penstock up`", exitCode: .usage)
    #endif
  }
}
