import Logging
import NIOCore
import NIOPosix
import WebSocket

/// Sends the events of a file, one a line, over several connections: those of one source over the same one, in the file's order.
///
/// Holds a chunk of the file, and for each connection a message in the making and what its client may hold.
public struct EventFileSender: Sendable {
  public struct Configuration: Sendable {
    /// Of each connection; the seed is varied.
    public var client: DeviceClientConfiguration
    /// 1 ... 10,000.
    public var connections = 1
    /// Events in a message, 1 ... 65,536.
    public var batch = 100
    /// Events a second over all connections; nil for as fast as they go.
    public var rate: Double?
    /// The first rejects to name in the report.
    public var rejectsKeptMax = 20

    public init(client: DeviceClientConfiguration) { self.client = client }
  }

  public struct Progress: Sendable {
    public var sent: Int
    public var answered: Int
    public var connected: Int
    /// Read of the file, as it lies on disk.
    public var bytesRead: Int
    /// Nil when unknown, as of standard input.
    public var bytesTotal: Int?
    public var elapsed: Duration
  }

  /// How it ended. `sent = appended + duplicates + rejected`.
  public struct Report: Sendable {
    public var totals: DeviceTotals
    public var lines: Int
    public var elapsed: Duration
    public var eventsPerSecond: Double { Double(totals.sent) / max(elapsed / .seconds(1), 1e-9) }
  }

  /// Longer lines are rejected here.
  public static let lineBytesMax = 16 << 20
  /// A message is sent when it has grown to this.
  static let messageBytesGoal = 256 * 1024
  /// With a rate, a message is sent this long after its beginning, however few events it has.
  static let flushAfter = Duration.milliseconds(100)
  private static let progressEvery = Duration.milliseconds(100)

  private let configuration: Configuration
  private let group: any EventLoopGroup
  private let logger: Logger

  public init(_ configuration: Configuration, group: any EventLoopGroup, logger: Logger) {
    precondition((1...10_000).contains(configuration.connections), "connections out of 1 ... 10,000")
    precondition((1...65_536).contains(configuration.batch), "batch out of 1 ... 65,536")
    self.configuration = configuration
    self.group = group
    self.logger = logger
  }

  /// Sends all of the input, and returns when everything is answered for.
  /// - Parameters:
  ///   - input: NDJSON, read once.
  ///   - onProgress: Called ten times a second, and at the end.
  /// - Throws: `DeviceClientError`; `.cancelled` when the task was.
  public func run(
    _ input: EventInput, onProgress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) async throws(DeviceClientError) -> Report {
    let reader = try EventInputReader(input)
    var random = SeededGenerator(seed: configuration.client.seed)
    let clients = (0..<configuration.connections).map { _ in
      var one = configuration.client
      one.seed = random.next()
      one.rejectsKeptMax = configuration.rejectsKeptMax
      return DeviceClient(one, eventLoop: group.next(), logger: logger)
    }
    for client in clients { client.start() }
    let started = ContinuousClock.now
    let progress: @Sendable () -> Void = {
      var all = Progress(
        sent: 0, answered: 0, connected: 0, bytesRead: reader.position, bytesTotal: reader.fileBytes,
        elapsed: ContinuousClock.now - started)
      for client in clients {
        let totals = client.totals
        all.sent += totals.sent
        all.answered += totals.answered
        all.connected += totals.isConnected ? 1 : 0
      }
      onProgress(all)
    }
    let ticker = Task {
      while !Task.isCancelled {
        progress()
        try await Task.sleep(for: EventFileSender.progressEvery)
      }
    }
    defer { ticker.cancel() }
    let result = await withTaskCancellationHandler {
      do throws(DeviceClientError) {
        return Result<Report, DeviceClientError>.success(try await send(reader, clients, since: started))
      } catch {
        return .failure(error)
      }
    } onCancel: {
      for client in clients { client.cancel() }
    }
    if case .failure = result { for client in clients { client.cancel() } }
    progress()
    return try result.get()
  }

  private func send(
    _ reader: EventInputReader, _ clients: [DeviceClient], since started: ContinuousClock.Instant
  ) async throws(DeviceClientError) -> Report {
    var spreader = LineSpreader(
      lanes: clients.count, batch: configuration.batch, bytesGoal: EventFileSender.messageBytesGoal,
      rejectsKeptMax: configuration.rejectsKeptMax)
    var splitter = LineSplitter(lineBytesMax: EventFileSender.lineBytesMax)
    var rate = configuration.rate.map { RateLimit(eventsPerSecond: $0, batch: configuration.batch) }
    var lastFlush = ContinuousClock.now

    reading: while true {
      if Task.isCancelled { throw DeviceClientError(.cancelled, "sending was cancelled") }
      switch try await nextChunk(reader) {
      case .end:
        let last = splitter.number + 1
        splitter.finish { line in
          spreader.add(line, number: last)
          return true
        }
        break reading
      case .idle: spreader.flushAll()
      case .bytes(let chunk):
        var position = 0
        while position < chunk.count {
          var number = splitter.number
          position = splitter.lines(chunk, from: position) { line in
            number += 1
            spreader.add(line, number: number)
            return spreader.ready.isEmpty
          }
          try await sendReady(&spreader, clients, &rate)
          if rate != nil, ContinuousClock.now - lastFlush > EventFileSender.flushAfter {
            lastFlush = .now
            spreader.flushAll()
            try await sendReady(&spreader, clients, &rate)
          }
        }
      }
      try await sendReady(&spreader, clients, &rate)
    }
    spreader.flushAll()
    try await sendReady(&spreader, clients, &rate)

    var totals = DeviceTotals()
    totals.sent = spreader.rejected
    totals.rejected = spreader.rejected
    totals.rejects = spreader.rejects
    for client in clients { totals.merge(try await client.finish(), rejectsKeptMax: configuration.rejectsKeptMax) }
    return Report(totals: totals, lines: splitter.number, elapsed: ContinuousClock.now - started)
  }

  private func sendReady(
    _ spreader: inout LineSpreader, _ clients: [DeviceClient], _ rate: inout RateLimit?
  ) async throws(DeviceClientError) {
    guard !spreader.ready.isEmpty else { return }
    for (lane, message) in spreader.takeReady() {
      if let wait = rate?.take(message.eventCount) {
        do {
          try await Task.sleep(for: wait)
        } catch {
          throw DeviceClientError(.cancelled, "sending was cancelled")
        }
      }
      try await clients[lane].send(message)
    }
  }

  private func nextChunk(_ reader: EventInputReader) async throws(DeviceClientError) -> EventInputReader.Chunk {
    do {
      return try await NIOThreadPool.singleton.runIfActive { try reader.next() }
    } catch let error as DeviceClientError {
      throw error
    } catch {
      throw DeviceClientError(.cancelled, "\(error)")
    }
  }
}
