import ArgumentParser
import Foundation
import PenstockClient
import Synchronization

struct FleetBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fleet",
    abstract: "Many devices on few connections, against a running penstock up: how far the views are behind, each second.",
    discussion: """
      --sources is the number of devices on each connection. A device waits for its acknowledgement where --pipeline times --batch is not \
      above it, since a connection's devices send in turn. Ends with an error unless every event is answered for and counted.
      """)

  /// A run ends with an error if its events are not acknowledged and counted by then.
  private static let patience: UInt64 = 120_000_000_000

  @OptionGroup var options: LoadOptions

  @Option(help: "The query service's port on 127.0.0.1.")
  var queryPort = 8080

  @Flag(help: "Print no line for each second.")
  var brief = false

  @Flag(help: "Print a hash of per_minute's rows, summed for each device: always the same with --messages and --sequence.")
  var hash = false

  func run() throws {
    let service = try FleetService(queryPort: queryPort)
    let before = try service.overview()
    let started = monotonicNow()
    let load = FleetLoad(options)
    var samples: [FleetSample] = []
    var last = (time: started, answered: before.answered)
    while load.isRunning {
      // A second after the last look, or at the end of the load.
      let next = last.time + 1_000_000_000
      while load.isRunning, monotonicNow() < next { usleep(5000) }
      let answered = try service.overview().answered, now = monotonicNow()
      let lag = try service.lag()
      samples.append(
        FleetSample(
          time: Double(now - started) / 1e9, eventsPerSecond: Double(answered - last.answered) / Double(now - last.time) * 1e9,
          lagEvents: lag.events,
          lagSeconds: lag.seconds, residentMiB: options.serverPid.flatMap { ProcessUsage.read($0)?.residentMiB } ?? .nan))
      last = (now, answered)
      if !brief { print(samples[samples.count - 1].line) }
    }
    let outcome = try load.outcome()
    let counted = try service.waitUntilCounted(before: monotonicNow() + FleetBench.patience)
    tell(outcome, samples, counted: counted)
    try check(outcome, try service.overview(), since: before, try service.ledger())
    if hash { print("fleet  result hash \(try service.resultHash())") }
  }

  private func tell(_ outcome: FleetLoad.Outcome, _ samples: [FleetSample], counted: Double) {
    let events = outcome.counts.ackedMessages * options.batch
    print(
      "fleet  \(options.connections * options.sources) devices on \(options.connections) connections, messages of \(options.batch), "
        + "\(options.pipeline) on their way on each: \(events) events, \(fixed(Double(events) / outcome.seconds, 0))/s")
    func spread(_ path: KeyPath<FleetSample, Double>, _ digits: Int) -> String {
      let values = samples.map { $0[keyPath: path] }
      return "p50 \(fixed(median(values), digits)), max \(fixed(values.max() ?? .nan, digits))"
    }
    print(
      "fleet  view lag: seconds \(spread(\.lagSeconds, 2)); events \(spread(\.lagCount, 0)); "
        + "all is counted \(fixed(counted, 2)) s after the last acknowledgement")
    let resident = samples.map(\.residentMiB)
    let halfWay = resident.isEmpty ? .nan : resident[resident.count / 2]
    print(
      "fleet  server resident: first \(fixed(resident.first ?? .nan, 0)), half way \(fixed(halfWay, 0)), "
        + "last \(fixed(resident.last ?? .nan, 0)), max \(fixed(resident.max() ?? .nan, 0)) MiB")
    let latency = outcome.counts.latency
    print(
      "fleet  acknowledgements: p50 \(milliseconds(latency.quantile(0.5))), p99 \(milliseconds(latency.quantile(0.99))), "
        + "max \(milliseconds(latency.max)) ms")
  }

  /// - Throws: `BenchError` unless each event that was sent is appended once, and the ledger adds up.
  private func check(
    _ outcome: FleetLoad.Outcome, _ after: FleetService.Overview, since before: FleetService.Overview,
    _ ledger: FleetService.Ledger
  ) throws {
    let sent = outcome.counts.ackedMessages * options.batch
    let appended = after.appended - before.appended
    guard outcome.counts.rejects == 0, appended == sent, after.answered - before.answered == sent else {
      throw BenchError(
        "\(sent) events are acknowledged, of which ingest says: appended \(appended), answered for "
          + "\(after.answered - before.answered)")
    }
    guard ledger.balanced, ledger.views.allSatisfy({ $0.pending == 0 && $0.late == 0 }) else {
      throw BenchError("the ledger does not add up: \(ledger)")
    }
    let views = ledger.views.map { "\($0.view) has applied \($0.applied) and filtered \($0.filtered) of \($0.appended)" }
    print("fleet  the ledger adds up: \(appended) appended, no duplicates, none rejected; \(views.joined(separator: "; "))")
  }
}

/// The things seen at the end of a second.
private struct FleetSample {
  /// Seconds since the start.
  var time: Double
  var eventsPerSecond: Double
  /// Events that are not counted, of all views together.
  var lagEvents: Int
  /// The time since the last counted event was appended, of the view that is furthest behind.
  var lagSeconds: Double
  var residentMiB: Double

  var lagCount: Double { Double(lagEvents) }

  var line: String {
    "  after \(fixed(time, 1)) s  \(fixed(eventsPerSecond, 0)) events/s  lag \(fixed(lagSeconds, 2)) s, \(lagEvents) events  "
      + "\(fixed(residentMiB, 0)) MiB"
  }
}

/// The load, on a thread of its own.
private final class FleetLoad: Sendable {
  struct Outcome: Sendable {
    var counts: LoadGenerator.Counts
    /// From the first message to the last acknowledgement.
    var seconds: Double
  }

  /// A run of so many messages that it takes longer fails.
  private static let patience: UInt64 = 60_000_000_000

  private let result = Mutex<Result<Outcome, any Error>?>(nil)

  init(_ options: LoadOptions) {
    let settings = options.settings, seconds = options.seconds
    Thread.detachNewThread { [self] in
      let ended = Result { try FleetLoad.send(settings, seconds) }
      result.withLock { $0 = ended }
    }
  }

  var isRunning: Bool { result.withLock { $0 == nil } }

  func outcome() throws -> Outcome {
    guard let result = result.withLock({ $0 }) else { preconditionFailure("asked before the end") }
    return try result.get()
  }

  private static func send(_ settings: LoadGenerator.Settings, _ seconds: Double) throws -> Outcome {
    var generator = try LoadGenerator(settings)
    let started = monotonicNow()
    try generator.run(until: started + (settings.messagesMax == .max ? UInt64(seconds * 1e9) : patience))
    try generator.drain(until: monotonicNow() + patience)
    return Outcome(counts: generator.counts, seconds: Double(monotonicNow() - started) / 1e9)
  }
}
