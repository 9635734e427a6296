import Events
import Log
import Logging
import NIOPosix
import Serving
import Wire

/// A log served over plain sockets by a log service's routes. It can be restarted, on another port each time.
public actor ServedLog {
  public static let group = MultiThreadedEventLoopGroup.singleton

  public nonisolated let dialler = LoopbackDialler(service: "log", [])
  public nonisolated let client: WireClient
  public private(set) var storage: SegmentedLog
  public private(set) var instance = LoopbackDialler.Instance(id: "none", port: 0)
  private let open: @Sendable () async throws(LogError) -> SegmentedLog
  private var server: WireServer

  /// - Parameter open: Opens the log that is served; again after each restart.
  public init(_ open: @escaping @Sendable () async throws(LogError) -> SegmentedLog) async throws {
    self.open = open
    storage = try await open()
    client = WireClient(dialler: dialler, group: ServedLog.group)
    server = ServedLog.server(storage)
    try await listen()
  }

  public init(_ configuration: LogConfiguration) async throws {
    try await self.init { () async throws(LogError) in try await SegmentedLog.open(configuration, logger: ServedLog.quiet) }
  }

  private static let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

  private static func server(_ log: SegmentedLog) -> WireServer {
    WireServer(
      name: "log", host: "127.0.0.1", port: 0, group: group, routes: LogRoutes(log: log),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
  }

  private func listen() async throws {
    let port = try await server.start()?.port ?? 0
    precondition(port > 0, "a server that listens has a port")
    instance = .init(id: "log-\(port)", port: port)
    dialler.set([instance])
  }

  /// Cuts every connection, answered or not, and opens the same log anew.
  public func restart() async throws {
    dialler.set([])
    dialler.cutConnections()
    await server.shutDown(timeout: .seconds(2))
    await storage.close()
    storage = try await open()
    server = ServedLog.server(storage)
    try await listen()
  }

  public func stop() async {
    await client.close()
    await server.shutDown(timeout: .seconds(2))
    await storage.close()
  }
}
