import ArgumentParser
import Events

struct SimulateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "A synthetic fleet, for load: devices that stream readings over WebSocket and wait for acks.",
    discussion: """
      Each device is a source of its own (device/0000000 and on) with its own sequence. A run begins a new epoch, so that its events are \
      new ones and not duplicates of an earlier run's. Ends with counts and the time from sending to acknowledgement.

      The same seed, start, rate and duration give the same events, whatever becomes of them on the way. --print shows them:

        penstock simulate --devices 100 --every 1m --backlog 1d --offline 0.2=30s --clock-ahead 0.01=1825d --duration 1m

      A hundred thousand devices on a thousand connections, each of which sends once a minute and waits for its acknowledgement:

        penstock simulate --devices 100000 --connections 1000 --every 1m --wait --batch 1 --rate 100000 --duration 2m
      """)

  @Option(help: ArgumentHelp("Devices, 1 to 1000000.", valueName: "n"))
  var devices = 100

  @Option(help: ArgumentHelp("Events a second, of all devices together.", valueName: "r"))
  var rate = 1000.0

  @Option(help: ArgumentHelp("How long to stream, as 30s or 5m.", valueName: "d"))
  var duration = "10s"

  @OptionGroup(title: "The devices' time") var time: SimulatedTimeOptions

  @Option(help: ArgumentHelp("Connections that the devices share, 1 to 1024 (default: one each, at most 64).", valueName: "n"))
  var connections: Int?

  @Option(help: ArgumentHelp("The most events in one message, 1 to 10000.", valueName: "n"))
  var batch = 100

  @Flag(name: .customLong("wait"), help: "Each device waits for the acknowledgement of a reading before it sends the next.")
  var waits = false

  @Option(help: ArgumentHelp("The same seed gives the same devices and readings.", valueName: "n"))
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("The events' epoch (default: the time, in milliseconds since 1970).", valueName: "n"))
  var epoch: UInt64?

  @Option(help: ArgumentHelp("Where ingest listens.", valueName: "url"))
  var url = "ws://127.0.0.1:4000/v1/stream"

  @Flag(name: .customLong("print"), help: "Print the events as NDJSON instead of sending them.")
  var printsEvents = false

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
    guard let length = Duration(settingText: duration), length > .zero, length <= SimulatedTimeOptions.lengthMax else {
      throw ValidationError("--duration: expected a duration above 0, at most 36500d, as 30s or 5m, not '\(duration)'")
    }
    _ = try history(start: Timestamp(nanoseconds: 0))
    guard url.hasPrefix("ws://") || url.hasPrefix("wss://") else {
      throw ValidationError("--url: expected ws://HOST:PORT/v1/stream, not '\(url)'")
    }
  }

  func run() async throws {
    try log.bootstrap(default: .warning)
    let request = try request
    if printsEvents { return try SimulateRun.printEvents(request) }
    let counts = try await SimulateRun.run(request, security)
    try outputOptions.write(counts.table(hasLatency: true))
    try counts.check()
  }

  private var request: SimulateRequest {
    get throws {
      let now = Timestamp.systemNow()
      return SimulateRequest(
        url: url, devices: devices, connections: min(connections ?? 64, devices), rate: rate,
        duration: Duration(settingText: duration) ?? .zero, history: try history(start: now), isWhole: time.isWhole,
        eventsPerMessage: batch, epoch: epoch ?? UInt64(max(0, now.nanoseconds)) / 1_000_000, waits: waits)
    }
  }

  private func history(start: Timestamp) throws -> SimulatedHistory {
    let history = SimulatedHistory(
      start: start, devices: devices, every: max(1, Int64((1e9 * Double(devices) / rate).rounded())),
      end: Duration(settingText: duration)?.nanosecondsHeld ?? 0, seed: seed)
    return try time.applied(to: history)
  }
}
