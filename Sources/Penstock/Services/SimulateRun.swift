import Events
import Logging
import NIOPosix
import PenstockClient
import Synchronization

struct SimulateRequest: Sendable, Hashable {
  /// `ws://HOST:PORT/v1/stream`
  var url: String
  /// 1 ... 1,000,000
  var devices: Int
  /// 1 ... 1,024, at most as many as devices.
  var connections: Int
  /// Events a second, of all devices together.
  var rate: Double
  var duration: Duration
  /// When the devices read and send.
  var history: SimulatedHistory
  /// Whether the run ends only when everything is sent; else it ends at `duration`, however far it is behind.
  var isWhole: Bool
  /// The most events in one message, 1 ... 10,000.
  var eventsPerMessage: Int
  var epoch: UInt64
  /// Whether a device sends a reading only when its last is answered for.
  var waits = false

  /// The devices that a connection carries.
  func fleet(_ connection: Int, of connections: Int) -> SimulatedFleet {
    let numbers = stride(from: connection, to: devices, by: connections)
    return SimulatedFleet(
      numbers, history, rate: rate * Double(numbers.underestimatedCount) / Double(devices), epoch: epoch, waits: waits)
  }
}

enum SimulateRun {
  /// Messages are made at least this often, however few events they hold.
  private static let messageInterval = 0.1

  /// A run that is behind by more than this at its end is cut short.
  private static let overtime = Duration.milliseconds(500)

  /// Prints the events, one a line, in the order in which one connection would send them.
  static func printEvents(_ request: SimulateRequest) throws {
    var fleet = request.fleet(0, of: 1)
    var lines: [UInt8] = []
    while fleet.write(1, { lines += $0 }) != nil {
      lines.append(0x0A)
      guard lines.count >= ExportFile.chunkBytes || fleet.left == 0 else { continue }
      try lines.withUnsafeBytes { try StandardStream.output.write($0) }
      lines.removeAll(keepingCapacity: true)
    }
  }

  /// Sends the devices' readings, and returns once all are answered for.
  static func run(_ request: SimulateRequest, _ security: SecurityOptions) async throws -> SendCounts {
    let configuration = try SendRun.client(request.url, security)
    let fleets = (0..<request.connections).map { request.fleet($0, of: request.connections) }
    let start = ContinuousClock.now
    let progress = FleetProgress(total: fleets.reduce(0) { $0 + $1.left })
    var random = SeededGenerator(seed: request.history.seed)
    var totals = DeviceTotals()
    do {
      totals = try await withThrowingTaskGroup(of: DeviceTotals.self) { group in
        for fleet in fleets {
          var own = configuration
          own.seed = random.next()
          let client = DeviceClient(
            own, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), logger: Logger(label: "penstock.simulate"))
          group.addTask {
            try await withTaskCancellationHandler {
              try await stream(fleet, to: client, request, since: start, progress)
            } onCancel: {
              client.cancel()
            }
          }
        }
        var totals = DeviceTotals()
        while let one = try await group.next() { totals.merge(one, rejectsKeptMax: 20) }
        return totals
      }
    } catch let error as DeviceClientError {
      progress.finish()
      throw CommandFailure(error.description)
    }
    progress.finish()
    return SendCounts(totals, elapsed: ContinuousClock.now - start)
  }

  private static func stream(
    _ fleet: SimulatedFleet, to client: DeviceClient, _ request: SimulateRequest, since start: ContinuousClock.Instant,
    _ progress: FleetProgress
  ) async throws -> DeviceTotals {
    var fleet = fleet
    let rate = request.rate / Double(request.connections)
    let count = min(request.eventsPerMessage, max(1, Int(rate * messageInterval)))
    client.start()
    while let message = fleet.message(count) {
      // A late message does not delay those behind it.
      let wait = message.due - (ContinuousClock.now - start)
      if wait > .zero { try await Task.sleep(for: wait) }
      // The devices behind it sent after these, and wait as long.
      if message.answeredBefore > 0 { await client.waitUntilAnswered(message.answeredBefore) }
      guard request.isWhole || ContinuousClock.now - start < request.duration + overtime else { break }
      try await client.send(message.events)
      progress.add(message.events.eventCount)
    }
    return try await client.finish()
  }
}

/// The sums of all connections, on one line.
private final class FleetProgress: Sendable {
  private let state: Mutex<(bar: ProgressBar, sent: Int)>

  init(total: Int) { state = Mutex((ProgressBar("simulating", total: total, unit: "events"), 0)) }

  func add(_ events: Int) {
    state.withLock { state in
      state.sent += events
      state.bar.update(state.sent)
    }
  }

  func finish() { state.withLock { $0.bar.finish() } }
}
