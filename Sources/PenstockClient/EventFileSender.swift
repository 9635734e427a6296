import Logging
import NIOCore
import NIOPosix
import WebSocket

/// Sends the events of a file, one a line, over several connections. All events of a source go over the same connection, in the
/// file's order.
///
/// It holds a chunk of the file, and for each connection an unfinished message and the client's own bounds.
public struct EventFileSender: Sendable {
  public struct Configuration: Sendable {
    /// The configuration of each connection; only the seed differs. With a spool, there is one connection.
    public var client: DeviceClientConfiguration
    /// The number of connections, 1 ... 10,000.
    public var connections = 1
    /// Events in a message, 1 ... 65,536.
    public var batch = 100
    /// Events a second over all connections; nil for no limit.
    public var rate: Double?
    /// The most rejects named in the report, the first ones.
    public var rejectsKeptMax = 20

    public init(client: DeviceClientConfiguration) { self.client = client }
  }

  public struct Progress: Sendable {
    /// The sums over all connections.
    public var totals: DeviceTotals
    public var connected: Int
    /// Bytes read of the file, as it lies on disk.
    public var bytesRead: Int
    /// The file's bytes; nil when unknown, as for standard input.
    public var bytesTotal: Int?
    public var elapsed: Duration
  }

  /// The result of a run: `sent = appended + duplicates + rejected`.
  public struct Report: Sendable {
    public var totals: DeviceTotals
    public var lines: Int
    public var elapsed: Duration
    public var eventsPerSecond: Double { Double(totals.sent) / max(elapsed / .seconds(1), 1e-9) }
  }

  /// The client rejects longer lines itself.
  public static let lineBytesMax = 16 << 20
  /// A message is sent when it has reached this size.
  static let messageBytesGoal = 256 * 1024
  /// With a rate, a message is sent this long after its beginning, however few events it has.
  static let flushAfter = Duration.milliseconds(100)
  private static let progressEvery = Duration.milliseconds(100)
  /// How long to wait for acknowledgements once the task is cancelled.
  private static let cancelGrace = TimeAmount.seconds(2)

  private let configuration: Configuration
  private let group: any EventLoopGroup
  private let logger: Logger

  public init(_ configuration: Configuration, group: any EventLoopGroup, logger: Logger) {
    precondition((1...10_000).contains(configuration.connections), "connections out of 1 ... 10,000")
    precondition((1...65_536).contains(configuration.batch), "batch out of 1 ... 65,536")
    precondition(configuration.client.spool == nil || configuration.connections == 1, "a spool is one connection's")
    self.configuration = configuration
    self.group = group
    self.logger = logger
  }

  /// Sends all of the input, and returns when everything is answered for.
  /// - Parameters:
  ///   - input: NDJSON, read once.
  ///   - onProgress: Called ten times a second, and at the end.
  /// - Throws: `DeviceClientError`; `.cancelled` when the task was: it then reads no more, and waits two seconds for
  ///   acknowledgements. The last progress has the totals by then.
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
    let started = ContinuousClock.now
    let rejectsKeptMax = configuration.rejectsKeptMax
    let progress: @Sendable () -> Void = {
      var all = Progress(
        totals: DeviceTotals(), connected: 0, bytesRead: reader.position, bytesTotal: reader.fileBytes,
        elapsed: ContinuousClock.now - started)
      for client in clients {
        let totals = client.totals
        all.totals.merge(totals, rejectsKeptMax: rejectsKeptMax)
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
      group.next().scheduleTask(in: EventFileSender.cancelGrace) { for client in clients { client.cancel() } }
    }
    if case .failure = result { for client in clients { client.cancel() } }
    progress()
    return try result.get()
  }

  private func send(
    _ reader: EventInputReader, _ clients: [DeviceClient], since started: ContinuousClock.Instant
  ) async throws(DeviceClientError) -> Report {
    var lanes = Lanes(clients, configuration)
    // The events that an earlier run left go out first, even if there are no new ones.
    if configuration.client.spool?.left.isEmpty == false { for client in clients { client.start() } }
    var cancellation: DeviceClientError?
    do {
      try await readAll(reader, &lanes)
    } catch {
      guard error.code == .cancelled else { throw error }
      cancellation = error
    }
    var totals = DeviceTotals()
    totals.sent = lanes.spreader.rejected
    totals.rejected = lanes.spreader.rejected
    totals.rejects = lanes.spreader.rejects
    for client in clients { totals.merge(try await client.finish(), rejectsKeptMax: configuration.rejectsKeptMax) }
    if let cancellation { throw cancellation }
    return Report(totals: totals, lines: lanes.splitter.number, elapsed: ContinuousClock.now - started)
  }

  /// Lines being gathered into messages, and the clients that get the messages.
  private struct Lanes {
    let clients: [DeviceClient]
    var spreader: LineSpreader
    var splitter = LineSplitter(lineBytesMax: EventFileSender.lineBytesMax)
    var rate: RateLimit?

    init(_ clients: [DeviceClient], _ configuration: Configuration) {
      self.clients = clients
      spreader = LineSpreader(
        lanes: clients.count, batch: configuration.batch, bytesGoal: EventFileSender.messageBytesGoal,
        rejectsKeptMax: configuration.rejectsKeptMax)
      rate = configuration.rate.map { RateLimit(eventsPerSecond: $0, batch: configuration.batch) }
    }

    /// Adds lines, until a message is ready or the chunk ends.
    /// - Returns: The position in `chunk` up to which it was used.
    mutating func add(_ chunk: [UInt8], from position: Int) -> Int {
      var number = splitter.number
      return splitter.lines(chunk, from: position) { line in
        number += 1
        spreader.add(line, number: number)
        return spreader.ready.isEmpty
      }
    }

    /// The input has ended, perhaps in the middle of a line.
    mutating func finish() {
      let last = splitter.number + 1
      splitter.finish { line in
        spreader.add(line, number: last)
        return true
      }
    }

    mutating func sendReady() async throws(DeviceClientError) {
      guard !spreader.ready.isEmpty else { return }
      for (lane, message) in spreader.takeReady() {
        if let wait = rate?.take(message.eventCount) {
          do {
            try await Task.sleep(for: wait)
          } catch {
            throw EventFileSender.cancelled
          }
        }
        try await clients[lane].send(message)
        // The client starts only when there is a message: the first handshake asks where its sources stand.
        clients[lane].start()
      }
    }
  }

  private static var cancelled: DeviceClientError { DeviceClientError(.cancelled, "sending was cancelled") }

  private func readAll(_ reader: EventInputReader, _ lanes: inout Lanes) async throws(DeviceClientError) {
    var lastFlush = ContinuousClock.now
    reading: while true {
      if Task.isCancelled { throw EventFileSender.cancelled }
      switch try await nextChunk(reader) {
      case .end:
        lanes.finish()
        break reading
      case .idle: lanes.spreader.flushAll()
      case .bytes(let chunk):
        var position = 0
        while position < chunk.count {
          if Task.isCancelled { throw EventFileSender.cancelled }
          position = lanes.add(chunk, from: position)
          try await lanes.sendReady()
          if lanes.rate != nil, ContinuousClock.now - lastFlush > EventFileSender.flushAfter {
            lastFlush = .now
            lanes.spreader.flushAll()
            try await lanes.sendReady()
          }
        }
      }
      try await lanes.sendReady()
    }
    lanes.spreader.flushAll()
    try await lanes.sendReady()
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
