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
  /// The most events in one message, 1 ... 10,000.
  var eventsPerMessage: Int
  var seed: UInt64
  var epoch: UInt64
}

enum SimulateRun {
  /// Messages are made at least this often, however few events they hold.
  private static let messageInterval = 0.1

  /// Sends the devices' readings for `duration`, and returns once all are answered for.
  static func run(_ request: SimulateRequest, _ security: SecurityOptions) async throws -> SendCounts {
    let configuration = try SendRun.client(request.url, security)
    let start = ContinuousClock.now
    let progress = FleetProgress(total: Int(request.rate * (request.duration / .seconds(1))))
    var random = SeededGenerator(seed: request.seed)
    var totals = DeviceTotals()
    do {
      totals = try await withThrowingTaskGroup(of: DeviceTotals.self) { group in
        for connection in 0..<request.connections {
          var own = configuration
          own.seed = random.next()
          let client = DeviceClient(
            own, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), logger: Logger(label: "penstock.simulate"))
          let fleet = SimulatedFleet(
            stride(from: connection, to: request.devices, by: request.connections), seed: request.seed, epoch: request.epoch)
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
    var sent = 0
    while true {
      // The time at which the message is due: a late message does not delay those behind it.
      let due = Duration.seconds(Double(sent) / rate)
      guard due < request.duration else { break }
      let wait = due - (ContinuousClock.now - start)
      if wait > .zero { try await Task.sleep(for: wait) }
      guard ContinuousClock.now - start < request.duration else { break }
      try await client.send(fleet.message(count, at: .systemNow()))
      sent += count
      progress.add(count)
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
