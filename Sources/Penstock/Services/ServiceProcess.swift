#if Secure
  import Compute
  import Events
  import Foundation
  import Ingest
  import Log
  import Logging
  import NIOCore
  import NIOPosix
  import Query
  import Serving
  import Views
  import Wire

  extension Services {
    /// Runs one service of the mesh until SIGTERM or SIGINT, then drains it.
    /// - Parameter mesh: Made on the process's event loops.
    static func run(
      _ name: ServiceName, _ settings: Settings,
      mesh: @escaping @Sendable (MultiThreadedEventLoopGroup) throws -> any ServiceMesh
    ) async throws {
      let catalog = name == .compute ? try readViews(settings.views) : nil
      let service = ServiceRun(
        name: name, settings: settings, catalog: catalog, registry: bootstrapMetrics(), logger: .module(name.rawValue),
        mesh: mesh)
      try await service.run()
    }

    /// The mesh that the settings name.
    static func mesh(
      of service: ServiceName, _ settings: Settings, group: MultiThreadedEventLoopGroup, logger: Logger
    ) throws -> any ServiceMesh {
      let isEdge = service == .ingest || service == .query
      return try ConsulMesh(
        service, settings.mesh, isTLS: isEdge && settings.tls.files != nil, group: group, logger: logger)
    }
  }

  /// One service of the mesh: starts, waits for the signal, drains.
  private struct ServiceRun {
    let name: ServiceName
    let settings: Settings
    let catalog: ViewCatalog?
    let registry: PrometheusRegistry
    let logger: Logger
    let mesh: @Sendable (MultiThreadedEventLoopGroup) throws -> any ServiceMesh

    func run() async throws {
      let shutdown = await ShutdownSignal()
      let group = MultiThreadedEventLoopGroup(numberOfThreads: ProcessInfo.processInfo.activeProcessorCount)
      let mesh = try mesh(group)
      let start = ServiceStart(settings: settings, registry: registry, group: group, mesh: mesh, logger: logger)
      let started: StartedService?
      do {
        // If the log is away, the start waits for it; the signal ends that too.
        started = try await shutdown.cancelling {
          switch name {
          case .log: try await start.log()
          case .ingest: try await start.ingest()
          case .compute: try await start.compute(catalog ?? ViewCatalog(views: []))
          case .query: try await start.query()
          }
        }
      } catch {
        guard shutdown.hasArrived else { throw error }
        started = nil
      }
      if let started {
        do {
          // Others must not find a second log.
          if let log = started.log { try await shutdown.cancelling { try await mesh.claim(log) } }
        } catch {
          for stop in started.stops { await stop() }
          guard !shutdown.hasArrived else { return await mesh.shutDown() }
          throw error
        }
        try await mesh.join(started.address)
        started.joined()
        await shutdown.wait()
        logger.notice("shutting down")
        await mesh.leave()
        for stop in started.stops { await stop() }
      }
      await mesh.shutDown()
      try await group.shutdownGracefully()
    }
  }

  /// A service that accepts connections.
  struct StartedService: Sendable {
    var address: ListenAddress
    var log: LogIdentity?
    /// The action that begins once others can find the instance.
    var joined: @Sendable () -> Void = {}
    /// The actions that stop it, from the edge inwards.
    var stops: [@Sendable () async -> Void]
  }

  /// Starts one service on its own: does for it what `EmbeddedServices` does for all four, with the wire in place of calls.
  struct ServiceStart: Sendable {
    /// The time between two reports of ingest's counts: half of the time between two looks at them.
    private static let ingestReportInterval = Duration.milliseconds(500)
    /// The time between two reports of the offsets that the log must keep.
    private static let reportInterval = Duration.seconds(2)

    let settings: Settings
    let registry: PrometheusRegistry
    let group: MultiThreadedEventLoopGroup
    let mesh: any ServiceMesh
    let logger: Logger

    func log() async throws -> StartedService {
      try EmbeddedServices.makeFolder(settings.data)
      // Room for all batches that several ingest processes have under way.
      let engine = try await LogEngine.open(settings, ingestLoops: 16, logger: logger)
      let (log, reports) = (engine.log, ReportRoutes())
      let file = RejectsFile(folder: settings.data, logger: logger)
      reports.rejects.restore(file.read())
      let retention = Task { await log.runRetention(every: settings.log.retentionInterval) { .from(reports.needs.offsets) } }
      let watch = Task { await log.runWatch(every: LogEngine.watchInterval) }
      let server = WireServer(
        name: "log", host: settings.log.listen.host, port: settings.log.listen.port, limits: settings.log.serving,
        group: group,
        routes: LogRoutes(log: log, views: engine.record, reports: reports),
        probe: probe { [("log", log.problem)] }, callers: callers, logger: logger)
      do {
        let address = try await listen("log", settings.log.listen, server)
        let keeping = Task { await file.keep(change: { reports.rejects.changes }, { reports.rejects.kept }) }
        let endRetention: @Sendable () async -> Void = {
          watch.cancel()
          retention.cancel()
          await retention.value
        }
        let endKeeping: @Sendable () async -> Void = {
          keeping.cancel()
          await keeping.value
        }
        mesh.watchCallers { await server.renewConnections() }
        return StartedService(
          address: address, log: log.identity,
          stops: [endRetention, engine.endRecord, { await server.shutDown() }, endKeeping, { await log.close() }])
      } catch {
        retention.cancel()
        watch.cancel()
        await log.close()
        throw error
      }
    }

    func ingest() async throws -> StartedService {
      let security = try await EdgeSecurity.start(settings, logger: logger)
      let (client, log) = try await remoteLog(patience: .seconds(5))
      let settings = settings
      let told = IngestHere(registry)
      let ingest = IngestService(
        configuration: settings.ingest, log: log, gate: security.gate, secure: security.secure, group: group,
        probe: probe { [("log", await log.problem())] }, logger: logger, totals: told.totals, rejects: told.recent,
        suspects: told.suspects, ahead: told.ahead)
      let address = try await EmbeddedServices.listening("ingest", settings.ingest.listen) {
        let bound = try await ingest.start()
        return ListenAddress(host: bound?.ipAddress ?? settings.ingest.listen.host, port: bound?.port ?? 0)
      }
      mesh.watchCallers { await ingest.renewLocalConnections() }
      let reports = Task { await reportIngest(told, to: log.reports) }
      return StartedService(
        address: address,
        stops: [
          { reports.cancel() }, { await ingest.shutDown() }, { await log.close() }, { await client.close() }, { security.stop() },
        ])
    }

    func compute(_ catalog: ViewCatalog) async throws -> StartedService {
      try EmbeddedServices.makeFolder(settings.data)
      let (client, log) = try await remoteLog(patience: nil)
      let compute = try await ComputeService(
        configuration: ComputeConfiguration(settings), catalog: catalog, log: log,
        // Where instances share partitions, none is owned before its lease.
        partitions: mesh.sharesPartitions ? [] : nil, fence: mesh.fence, record: log, sharesPartitions: mesh.sharesPartitions,
        logger: logger)
      compute.start()
      let server = WireServer(
        name: "compute", host: settings.compute.listen.host, port: settings.compute.listen.port,
        limits: settings.compute.serving, group: group,
        routes: ComputeRoutes(
          store: compute.reads, late: compute.reads, sources: compute.reads, admin: compute.generations,
          adHoc: AdHocAggregation(log: log, threads: ProcessInfo.processInfo.activeProcessorCount, settings.compute.configuration),
          generationsVersion: { compute.generations.version }),
        // Compute answers for rows while the log is away.
        probe: probe(dispensable: { [("log", await log.problem())] }) { [("compute", await compute.problem())] },
        callers: callers,
        logger: logger)
      do {
        let address = try await listen("compute", settings.compute.listen, server)
        let mesh = mesh
        mesh.watchCallers { await server.renewConnections() }
        let reports = Task { await reportNeeds(of: compute, to: log) }
        let reload = Task { await compute.generations.reloadOnHangup(settings.views, logger) }
        return StartedService(
          address: address, joined: { mesh.lease(log.partitionCount, for: compute) },
          stops: [
            { reports.cancel() }, { reload.cancel() }, { await server.shutDown() }, { await compute.shutDown() },
            { await client.close() },
          ])
      } catch {
        await compute.shutDown()
        throw error
      }
    }

    func query() async throws -> StartedService {
      let security = try await EdgeSecurity.start(settings, logger: logger)
      let (client, log) = try await remoteLog(patience: .seconds(5))
      let computeClient = WireClient(dialler: mesh.dialler(to: .compute), group: group)
      let store = RemoteViewStore(client: computeClient, partitionCount: log.partitionCount, logger: logger)
      let mesh = mesh
      let query = QueryService(
        configuration: settings.query, store: store, admin: RemoteViewAdmin(store), log: log,
        probe: probe(dispensable: { [("log", await log.problem())] }) {
          [("compute", await store.problem())]
        },
        late: store, adHoc: RemoteAdHocStore(client: computeClient, partitionCount: log.partitionCount, logger: logger),
        sources: store, reports: log.reports, instances: { await mesh.instances() }, gate: security.gate,
        secure: security.secure, group: group, logger: logger)
      let address = try await EmbeddedServices.listening("query", settings.query.listen) {
        let bound = try await query.start()
        return ListenAddress(host: bound.host, port: bound.port)
      }
      mesh.watchCallers { await query.renewLocalConnections() }
      return StartedService(
        address: address,
        stops: [
          { await query.shutDown(timeout: .seconds(10)) }, { await computeClient.close() }, { await client.close() },
          { security.stop() },
        ])
    }

    /// Reports this process's counts and rejects to the log until the task is cancelled; the query service asks for them there.
    private func reportIngest(_ told: IngestHere, to reports: RemoteReports) async {
      let instance = String(UInt64.random(in: .min ... .max), radix: 16)
      var number = 0
      while true {
        do { try await Task.sleep(for: ServiceStart.ingestReportInterval) } catch { return }
        do throws(LogError) {
          number = try await reports.report(told.report, told.recent, after: number, of: instance)
        } catch {
          logger.debug("reporting what was counted: \(error)")
        }
      }
    }

    /// Reports every few seconds which offsets the log must keep for the owned partitions, until the task is cancelled.
    private func reportNeeds(of compute: ComputeService, to log: RemoteLog) async {
      while true {
        do { try await Task.sleep(for: ServiceStart.reportInterval) } catch { return }
        let needed = await compute.partitions.neededOffsets()
        let owned = compute.partitions.owned
        let needs = OffsetVector(needed.offsets.filter { owned.contains($0.key) })
        guard !needs.offsets.isEmpty else { continue }
        do throws(LogError) {
          try await log.reports.report(needs: needs)
        } catch {
          // The log uses the last report, by which it keeps more than it must.
          logger.debug("reporting what the log must keep: \(error)")
        }
      }
    }

    private func remoteLog(patience: Duration?) async throws -> (WireClient, RemoteLog) {
      let client = WireClient(dialler: mesh.dialler(to: .log), group: group)
      var configuration = RemoteLog.Configuration(patience: patience)
      // Each loop, and each reactor, may have this much under way to one partition before it stops reading.
      let loops = ProcessInfo.processInfo.activeProcessorCount + settings.ingest.reactors
      configuration.pendingBytesMax = max(configuration.pendingBytesMax, loops * IngestService.pendingBytesPerLoopMax)
      return (client, try await RemoteLog.connect(client, configuration: configuration, logger: logger))
    }

    /// The callers that the log and compute answer: any user of this machine can reach their ports. Nil where the system does not
    /// tell who calls.
    private var callers: LocalCallers? {
      #if os(Linux)
        LocalCallers(users: settings.mesh.sidecarUser.map { [$0] } ?? [])
      #else
        nil
      #endif
    }

    private func listen(_ name: String, _ wanted: ListenAddress, _ server: WireServer) async throws -> ListenAddress {
      try await EmbeddedServices.listening(name, wanted) {
        let bound = try await server.start()
        return ListenAddress(host: bound?.ipAddress ?? wanted.host, port: bound?.port ?? wanted.port)
      }
    }

    private func probe(
      dispensable: @escaping @Sendable () async -> [(name: String, problem: String?)] = { [] },
      _ checks: @escaping @Sendable () async -> [(name: String, problem: String?)]
    ) -> ServiceProbe {
      let registry = registry
      return ServiceProbe(
        readiness: { ServiceProbe.Readiness(await checks(), dispensable: await dispensable()) },
        metrics: { registry.exposition() }, total: { registry.total($0) })
    }
  }
#endif
