import Compute
import Events
import Foundation
import Ingest
import Logging
import NIOCore
import NIOPosix
import Query
import Serving
import Views

/// All four services in this process. Each calls the next one directly: no socket lies between them.
struct EmbeddedServices: Sendable {
  let log: any EventLog & LogAdministration
  let compute: ComputeService
  let ingest: IngestService
  let query: QueryService
  let ingestAddress: ListenAddress
  let queryAddress: ListenAddress
  private let security: EdgeSecurity
  private let retention: Task<Void, Never>
  /// Stores the last rejects in the data folder.
  private let keeping: Task<Void, Never>
  private let watch: Task<Void, Never>
  private let group: MultiThreadedEventLoopGroup
  private let logger: Logger

  /// Opens the files, then the listeners; prints `listening NAME ADDRESS` on standard error for each.
  /// - Parameter catalog: The views to keep.
  static func start(_ settings: Settings, catalog: ViewCatalog, registry: PrometheusRegistry, logger: Logger) async throws
    -> EmbeddedServices
  {
    // This comes first: faults of keys or certificates are reported before anything is opened.
    let security = try await EdgeSecurity.start(settings, logger: logger)
    try makeFolder(settings.data)
    let loops = ProcessInfo.processInfo.activeProcessorCount
    let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
    let engine = try await LogEngine.open(
      settings, ingestLoops: loops + settings.ingest.reactors, logger: .module("log"))
    let log = engine.log
    let watch = Task { await log.runWatch(every: LogEngine.watchInterval) }
    var started: [@Sendable () async -> Void] = [
      {
        watch.cancel()
        await log.close()
      }
    ]
    do {
      let compute = try await ComputeService(
        configuration: ComputeConfiguration(settings), catalog: catalog, log: log, record: engine.record,
        logger: .module("compute"))
      compute.start()
      started.append { await compute.shutDown() }
      let retention = Task {
        await log.runRetention(every: settings.log.retentionInterval) { .from(await compute.partitions.neededOffsets()) }
      }
      started.append {
        retention.cancel()
        await retention.value
      }
      let probe = ServiceProbe(
        readiness: { await readiness(log, compute) }, metrics: { registry.exposition() },
        total: { registry.total($0) })
      let told = IngestHere(registry)
      let rejectsFile = RejectsFile(folder: settings.data, logger: logger)
      for instance in rejectsFile.read() where instance.name.isEmpty { told.recent.note(instance.entries) }
      let query = QueryService(
        configuration: settings.query, store: compute.reads, admin: compute.generations, log: log, probe: probe,
        late: compute.reads, adHoc: AdHocAggregation(log: log, threads: loops, settings.compute.configuration),
        sources: compute.reads,
        reports: told, gate: security.gate, secure: security.secure, group: group, logger: .module("query"))
      let queryAddress = try await listening("query", settings.query.listen) {
        let bound = try await query.start()
        return ListenAddress(host: bound.host, port: bound.port)
      }
      started.append { await query.shutDown(timeout: .seconds(10)) }
      let ingest = IngestService(
        configuration: settings.ingest, log: log, gate: security.gate, secure: security.secure, group: group,
        probe: probe, logger: .module("ingest"), totals: told.totals, rejects: told.recent, suspects: told.suspects,
        ahead: told.ahead)
      let ingestAddress = try await listening("ingest", settings.ingest.listen) {
        let address = try await ingest.start()
        return ListenAddress(host: address?.ipAddress ?? settings.ingest.listen.host, port: address?.port ?? 0)
      }
      let keeping = Task { await rejectsFile.keep(change: { told.recent.last }, { [("", told.recent.entries(after: 0))] }) }
      return EmbeddedServices(
        log: log, compute: compute, ingest: ingest, query: query, ingestAddress: ingestAddress, queryAddress: queryAddress,
        security: security, retention: retention, keeping: keeping, watch: watch, group: group, logger: logger)
    } catch {
      for stop in started.reversed() { await stop() }
      security.stop()
      try await group.shutdownGracefully()
      throw error
    }
  }

  /// Drains from the edges inwards: ingest takes no new events, and syncs those it has; queries get their answers; views
  /// checkpoint; the log closes.
  func shutDown() async {
    logger.notice("shutting down")
    retention.cancel()
    await retention.value
    await ingest.shutDown()
    keeping.cancel()
    await keeping.value
    await query.shutDown(timeout: .seconds(10))
    await compute.shutDown()
    watch.cancel()
    await log.close()
    security.stop()
    do { try await group.shutdownGracefully() } catch { logger.error("stopping the event loops: \(error)") }
  }

  static func listening(_ name: String, _ wanted: ListenAddress, _ bind: () async throws -> ListenAddress) async throws
    -> ListenAddress
  {
    let address: ListenAddress
    do {
      address = try await bind()
    } catch let error as IOError where error.errnoCode == EADDRINUSE {
      throw CommandFailure(
        "\(name) cannot listen on \(wanted): another process does; stop it, or set \(name).listen to another port (0 takes a free one)"
      )
    }
    StandardStream.error.note("listening \(name) \(address)")
    return address
  }

  static func makeFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw CommandFailure("cannot make the data folder \(path): \(error.localizedDescription); name another with --data")
    }
    // An earlier version left these folders open to all users. It is no fault where they do not exist yet, or belong to another
    // user.
    for folder in ["log", "compute"] { chmod(path + "/" + folder, 0o700) }
  }

  private static func readiness(_ log: any LogAdministration, _ compute: ComputeService) async -> ServiceProbe.Readiness {
    ServiceProbe.Readiness([
      (name: "log", problem: log.problem), (name: "compute", problem: await compute.problem()),
    ])
  }
}

extension ComputeConfiguration {
  init(_ settings: Settings) {
    self = settings.compute.configuration
    directory = settings.data + "/compute"
  }
}
