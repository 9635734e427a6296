import ArgumentParser
import PenstockClient

struct LoadOptions: ParsableArguments {
  @Option(help: "Ingest's port on 127.0.0.1.")
  var port = 4000

  @Option(help: "WebSocket connections.")
  var connections = 8

  @Option(help: "Events in a message.")
  var batch = 100

  @Option(help: "Messages on their way on each connection; 1 waits for each acknowledgement.")
  var pipeline = 16

  @Option(help: "Events a second over all connections; 0 for as many as go.")
  var rate = 0.0

  @Option(help: "Sources on each connection, taken in turn.")
  var sources = 1

  @Option(help: "Messages on each connection, of one run; 0 for as many as go in the time.")
  var messages = 0

  @Option(help: "The sequence before each connection's first event, of 16 digits; by default above those of earlier runs.")
  var sequence: UInt64?

  @Option(help: "Seconds that are measured.")
  var seconds = 10.0

  @Option(help: "Seconds before those.")
  var warmUp = 2.0

  @Option(help: "The server's process, for its CPU time and memory.")
  var serverPid: Int?

  func validate() throws {
    guard connections >= 1, batch >= 1, pipeline >= 1, sources >= 1, rate >= 0, messages >= 0, seconds > 0,
      warmUp >= 0, connections * sources < 10_000_000
    else { throw ValidationError("out of range") }
    if let sequence, !(1_000_000_000_000_000..<9_000_000_000_000_000).contains(sequence) {
      throw ValidationError("--sequence: expected 1000000000000000 or more, of 16 digits, not \(sequence)")
    }
  }

  var settings: LoadGenerator.Settings {
    .init(
      port: port, connections: connections, batch: batch, pipeline: pipeline, rate: rate, sourcesPerConnection: sources,
      messagesMax: messages > 0 ? messages : .max, sequence: sequence)
  }
}

struct Load: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "WebSocket to synced acknowledgement, against a running ingest.")

  @OptionGroup var options: LoadOptions

  func run() throws {
    var generator = try LoadGenerator(options.settings)
    try generator.run(until: monotonicNow() + UInt64(options.warmUp * 1e9))
    generator.resetCounts()
    let started = monotonicNow()
    let own = ProcessUsage.read(nil), server = options.serverPid.flatMap { ProcessUsage.read($0) }
    try generator.run(until: started + UInt64(options.seconds * 1e9))
    let elapsed = Double(monotonicNow() - started) / 1e9
    let counts = generator.counts
    var line = "load  \(options.connections) connections, batch \(options.batch), pipeline \(options.pipeline)"
    if options.rate > 0 { line += ", \(fixed(options.rate, 0))/s wanted" }
    line +=
      "  \(fixed(Double(counts.ackedMessages * options.batch) / elapsed, 0)) events/s acked  \(generator.eventBytes) B/event"
    line += "  ack p50 \(milliseconds(counts.latency.quantile(0.5))) p99 \(milliseconds(counts.latency.quantile(0.99)))"
    line += " max \(milliseconds(counts.latency.max)) ms"
    if counts.rejects > 0 { line += "  \(counts.rejects) REJECTED" }
    if let own, let end = ProcessUsage.read(nil) {
      line += "  own CPU \(fixed((end.cpuSeconds - own.cpuSeconds) / elapsed * 100, 0)) %"
    }
    if let pid = options.serverPid, let server, let end = ProcessUsage.read(pid) {
      line += "  server CPU \(fixed((end.cpuSeconds - server.cpuSeconds) / elapsed * 100, 0)) %, \(fixed(end.residentMiB, 0)) MiB"
    }
    print(line)
  }
}

func milliseconds(_ duration: Duration?) -> String {
  duration.map { fixed($0 / .milliseconds(1), 2) } ?? "-"
}
