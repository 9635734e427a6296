import ArgumentParser
import HTTPClient
import PenstockClient

struct SendCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Send events as a device does: over WebSocket, waiting for acks, resuming after a drop.",
    discussion: """
      FILE holds one CloudEvent a line (NDJSON), gzipped where it ends in .gz; - reads standard input. Events of one source go \
      over one connection, in order. Events with a `sequence` are neither lost nor doubled by a dropped connection, nor, with \
      --spool, by a crash of this command: what it had read and was not answered for goes out first when it is run again.
      """)

  @Argument(help: ArgumentHelp("The file to send, or - for standard input.", valueName: "file"))
  var file: String

  @Option(help: ArgumentHelp("Where ingest listens.", valueName: "url"))
  var url = "ws://127.0.0.1:4000/v1/stream"

  @Option(help: ArgumentHelp("Connections to send over, 1 to 1024.", valueName: "n"))
  var connections = 1

  @Option(help: ArgumentHelp("Events in one message, 1 to 10000.", valueName: "n"))
  var batch = 100

  @Option(help: ArgumentHelp("Events a second over all connections (default: as fast as acks allow).", valueName: "r"))
  var rate: Double?

  @Option(
    help: ArgumentHelp(
      "Keep events in this file until they are answered for, over a crash and a server that is away; for one connection.",
      valueName: "file"))
  var spool: String?

  @OptionGroup var security: SecurityOptions
  @OptionGroup var outputOptions: OutputOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    guard (1...1024).contains(connections) else { throw ValidationError("--connections: expected 1 to 1024, not \(connections)") }
    guard (1...10_000).contains(batch) else { throw ValidationError("--batch: expected 1 to 10000, not \(batch)") }
    guard spool == nil || connections == 1 else { throw ValidationError("--spool: for one connection, not \(connections)") }
    if let rate, !(rate > 0 && rate.isFinite) { throw ValidationError("--rate: expected more than 0, not \(rate)") }
    guard ServiceURL(url, schemes: ["ws", "wss"]) != nil else {
      throw ValidationError("--url: expected ws://HOST:PORT/v1/stream, not '\(url)'")
    }
  }

  func run() async throws {
    try log.bootstrap(default: .warning)
    let counts = try await SendRun.run(request, security)
    try outputOptions.write(counts.table())
    try counts.check()
  }

  var request: SendRequest {
    SendRequest(file: file, url: url, connections: connections, eventsPerMessage: batch, rate: rate, spool: spool)
  }
}
