import ArgumentParser
import Events

struct SimulateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "A synthetic fleet, for load: devices that stream readings over WebSocket and wait for acks.",
    discussion: """
      Each device is a source of its own (device/0000000 and on) with its own sequence. A run begins a new epoch, so that its events are \
      new ones and not duplicates of an earlier run's. Ends with counts and the time from sending to acknowledgement.
      """)

  @Option(help: ArgumentHelp("Devices, 1 to 1000000.", valueName: "n"))
  var devices = 100

  @Option(help: ArgumentHelp("Events a second, of all devices together.", valueName: "r"))
  var rate = 1000.0

  @Option(help: ArgumentHelp("How long to stream, as 30s or 5m.", valueName: "d"))
  var duration = "10s"

  @Option(help: ArgumentHelp("Connections that the devices share, 1 to 1024 (default: one each, at most 64).", valueName: "n"))
  var connections: Int?

  @Option(help: ArgumentHelp("The most events in one message, 1 to 10000.", valueName: "n"))
  var batch = 100

  @Option(help: ArgumentHelp("The same seed gives the same readings.", valueName: "n"))
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("The events' epoch (default: the time, in milliseconds since 1970).", valueName: "n"))
  var epoch: UInt64?

  @Option(help: ArgumentHelp("Where ingest listens.", valueName: "url"))
  var url = "ws://127.0.0.1:4000/v1/stream"

  @OptionGroup var security: SecurityOptions
  @OptionGroup var outputOptions: OutputOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    guard (1...1_000_000).contains(devices) else { throw ValidationError("--devices: expected 1 to 1000000, not \(devices)") }
    if let connections, !(1...1024).contains(connections) {
      throw ValidationError("--connections: expected 1 to 1024, not \(connections)")
    }
    guard (1...10_000).contains(batch) else { throw ValidationError("--batch: expected 1 to 10000, not \(batch)") }
    guard rate > 0, rate <= 100_000_000 else {
      throw ValidationError("--rate: expected more than 0, at most 100000000, not \(rate)")
    }
    guard let length = Duration(settingText: duration), length > .zero else {
      throw ValidationError("--duration: expected a duration, as 30s or 5m, not '\(duration)'")
    }
    guard url.hasPrefix("ws://") || url.hasPrefix("wss://") else {
      throw ValidationError("--url: expected ws://HOST:PORT/v1/stream, not '\(url)'")
    }
  }

  func run() async throws {
    try log.bootstrap(default: .warning)
    let counts = try await SimulateRun.run(request, security)
    try outputOptions.write(counts.table(hasLatency: true))
    try counts.check()
  }

  var request: SimulateRequest {
    SimulateRequest(
      url: url, devices: devices, connections: min(connections ?? 64, devices), rate: rate,
      duration: Duration(settingText: duration) ?? .zero, eventsPerMessage: batch, seed: seed,
      epoch: epoch ?? UInt64(max(0, Timestamp.systemNow().nanoseconds)) / 1_000_000)
  }
}
