import Events
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import Synchronization
import Views

/// The analysts' HTTP API: results of views from a store, raw events from a log.
public final class QueryService: Sendable {
  /// Why the service could not start.
  public enum StartError: Error, CustomStringConvertible {
    case alreadyStarted
    /// The server ended before it listened.
    case stopped

    public var description: String {
      switch self {
      case .alreadyStarted: "query: started twice"
      case .stopped: "query: stopped before it listened"
      }
    }
  }

  private struct Running: Sendable {
    var server: Server<GuardedChannel>
    var task: Task<Void, any Error>
  }

  private let configuration: QueryConfiguration
  private let answers: QueryAnswers
  private let group: any EventLoopGroup
  private let logger: Logger
  private let running = Mutex<Running?>(nil)
  private let date = Mutex(DateText())
  private let departures = ClientDepartures()
  private let secure: (@Sendable (any Channel) throws -> Void)?

  /// - Parameters:
  ///   - configuration: Within its bounds.
  ///   - store: Who answers for views.
  ///   - admin: What changes views; nil where this service cannot.
  ///   - log: Whose raw events are read.
  ///   - probe: What `/readyz`, `/health` and `/metrics` answer.
  ///   - late: Who keeps late events; nil where nobody does.
  ///   - adHoc: Who computes aggregations once; nil where nobody does.
  ///   - received: What ingest has counted, where it is of this process.
  ///   - rejects: What ingest has rejected last, where it is of this process.
  ///   - gate: Tells who asks.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - group: Whose loops serve the connections; not shut down here.
  ///   - logger: Told of what fails, and of what an administrator does.
  public init(
    configuration: QueryConfiguration, store: any ViewStore, admin: (any ViewAdmin)? = nil, log: any EventLog,
    probe: ServiceProbe, late: (any LateEventStore)? = nil, adHoc: (any AdHocStore)? = nil,
    received: (@Sendable () -> ReceivedEvents)? = nil, rejects: RecentRejects? = nil, gate: AccessGate = .open,
    secure: (@Sendable (any Channel) throws -> Void)? = nil, group: any EventLoopGroup, logger: Logger
  ) {
    self.configuration = configuration
    self.secure = secure
    self.group = group
    self.logger = logger
    answers = QueryAnswers(
      configuration: configuration, store: store, admin: admin, log: log, probe: probe, logger: logger, late: late, adHoc: adHoc,
      received: received, rejects: rejects, gate: gate)
  }

  /// Listens.
  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  public func start() async throws -> (host: String, port: Int) {
    guard running.withLock({ $0 == nil }) else { throw StartError.alreadyStarted }
    let (addresses, listening) = AsyncStream.makeStream(of: SocketAddress?.self)
    let configuration = configuration
    let server = Server(
      childChannelSetup: GuardedChannel(
        base: HTTP1Channel(
          responder: { [self] request, writer, channel in try await respond(to: request, writer, on: channel) },
          configuration: QueryService.channelConfiguration(configuration)), secure: secure),
      configuration: ServerConfiguration(
        address: .hostname(configuration.host, port: configuration.port), backlog: 1024,
        availableConnectionsDelegate: MaximumAvailableConnections(configuration.connectionsMax, logger: logger)),
      onServerRunning: { channel in
        listening.yield(channel.localAddress)
        listening.finish()
      },
      eventLoopGroup: group, logger: quietLogger)
    let task = Task {
      defer { listening.finish() }
      try await server.run()
    }
    running.withLock { $0 = Running(server: server, task: task) }
    for await address in addresses {
      return (address?.ipAddress ?? configuration.host, address?.port ?? configuration.port)
    }
    running.withLock { $0 = nil }
    try await task.value
    throw StartError.stopped
  }

  private static func channelConfiguration(_ configuration: QueryConfiguration) -> HTTP1Channel.Configuration {
    let idle = TimeAmount.nanoseconds(configuration.idleTimeout.nanoseconds)
    let request = TimeAmount.nanoseconds(configuration.requestTimeout.nanoseconds)
    return HTTP1Channel.Configuration(
      additionalChannelHandlers: [RequestDeadline(requestTimeout: request, idleTimeout: idle)], idleTimeout: idle,
      httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
        maxHeaderFieldSize: QueryConfiguration.headerBytesMax, maxHeaderListSize: QueryConfiguration.headersBytesMax,
        maxHeaderFieldCount: QueryConfiguration.headersMax))
  }

  /// Stops accepting, finishes the requests that are under way, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    let running = running.withLock { running in
      defer { running = nil }
      return running
    }
    guard let running else { return }
    answers.drain()
    let logger = logger
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    Task {
      if case .failure(let error) = await running.task.result { logger.warning("query: server ended: \(error)") }
      end.finish()
    }
    Task {
      do {
        try await running.server.shutdownGracefully()
      } catch {
        logger.warning("query: closing connections: \(error)")
      }
    }
    if await QueryService.finishes(ended, within: timeout) { return }
    logger.warning("query: requests still run after \(timeout); closing their connections")
    running.task.cancel()
    // A request that does not heed its cancellation must not keep the process from ending.
    if await !QueryService.finishes(ended, within: .seconds(1)) { logger.warning("query: left requests behind") }
  }

  private static func finishes(_ stream: AsyncStream<Void>, within timeout: Duration) async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        for await _ in stream {}
        return !Task.isCancelled
      }
      group.addTask {
        // Cancelled when the stream has finished first.
        try? await Task.sleep(for: timeout)
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }

  /// The framework's own announcements are not the operator's concern.
  private var quietLogger: Logger {
    var quiet = logger
    if quiet.logLevel < .notice { quiet.logLevel = .notice }
    return quiet
  }

  private func respond(
    to request: Request, _ writer: consuming ResponseWriter, on channel: any Channel
  ) async throws {
    let body = RequestBodyReader { bytesMax throws(QueryFailure) in try await QueryService.read(request.body, bytesMax) }
    let asked = QueryRequest(request.method, request.head.path ?? "/", headers: request.headers, body: body)
    let match = RouteMatch(asked.path)
    let answer = try await whilePresent(match.route, channel) { [answers] in await answers.answer(asked, match) }
    var head = HTTPResponse(status: HTTPResponse.Status(code: answer.status))
    head.headerFields[.contentType] = answer.contentType
    for (name, value) in answer.headers { head.headerFields[name] = value }
    head.headerFields[.requestID] = asked.id.description
    head.headerFields[.date] = date.withLock { $0.text(at: Timestamp.systemNow()) }
    if case .bytes(let bytes) = answer.body { head.headerFields[.contentLength] = String(bytes.count) }
    switch answer.body {
    case _ where request.method == .head: try await writer.writeResponse(head)
    case .bytes(let bytes): try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    case .pieces(let first, var pieces):
      var body = try await writer.writeHead(head)
      try await body.write(ByteBuffer(bytes: first))
      while true {
        let piece: [UInt8]?
        (piece, pieces) = try await whilePresent(match.route, channel) { [pieces] in
          var pieces = pieces
          return (try await pieces.next(), pieces)
        }
        guard let piece else { break }
        try await body.write(ByteBuffer(bytes: piece))
      }
      try await body.finish(nil)
    }
    // What is left of a body that was refused is not worth reading.
    if answer.status == 413 { throw QueryFailure(413, "body_too_large", "") }
  }

  /// Runs `body`; where that may take long, it is cancelled once whoever asked has left.
  private func whilePresent<R: Sendable>(
    _ route: Route, _ channel: any Channel, _ body: @escaping @Sendable () async throws -> R
  ) async throws -> R {
    guard route.isLong else { return try await body() }
    return try await departures.run(on: channel, body)
  }

  private static func read(_ body: RequestBody, _ bytesMax: Int) async throws(QueryFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    var isTooLarge = false
    do {
      for try await buffer in body {
        // A sender that has sent all it has will read the answer; so a little too much is read to its end.
        guard bytes.count + buffer.readableBytes <= bytesMax + QueryService.excessBytesMax else { break }
        isTooLarge = isTooLarge || bytes.count + buffer.readableBytes > bytesMax
        bytes.append(contentsOf: buffer.readableBytesView)
      }
    } catch {
      throw QueryFailure(400, "incomplete_body", "the body did not arrive whole: \(error)")
    }
    guard !isTooLarge, bytes.count <= bytesMax else { throw .tooLarge(bytesMax) }
    return bytes
  }

  private static let excessBytesMax = 1 << 20
}
