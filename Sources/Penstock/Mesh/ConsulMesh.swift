#if Secure
  import Compute
  import Events
  import Foundation
  import Logging
  import Mesh
  import NIOCore
  import Query
  import Synchronization
  import Wire

  /// A service process's part in Consul's mesh: the services it dials, its registration and, for compute, its leases.
  final class ConsulMesh: ServiceMesh {
    /// The longest time between compute's signs of life, and so until its death is noticed.
    private static let lifeSignTTL = Duration.seconds(2)
    /// The calls that the intentions allow, in the contract's words.
    static let targets: [ServiceName: [ServiceName]] = [.ingest: [.log], .compute: [.log], .query: [.log, .compute], .log: []]

    private let service: ServiceName
    private let settings: MeshSettings
    private let isTLS: Bool
    private let client: ConsulClient
    private let diallers: MeshDiallers
    private let leaseFence = LateFence()
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
      var registration: MeshRegistration?
      var tasks: [Task<Void, Never>] = []
      var leasing: Task<Void, Never>?
      var overview = ServiceInstances()
    }

    /// Begins to watch the local agent. If the agent is away, dialling waits for it.
    /// - Parameter isTLS: Whether the service's own listener takes TLS only.
    /// - Throws: `CommandFailure` if the token's file cannot be read.
    init(_ service: ServiceName, _ settings: MeshSettings, isTLS: Bool, group: any EventLoopGroup, logger: Logger) throws {
      self.service = service
      self.settings = settings
      self.isTLS = isTLS
      self.logger = logger
      var configuration =
        switch settings.consul {
        case .port(let address): ConsulConfiguration(host: address.host, port: address.port)
        case .socket: ConsulConfiguration()
        }
      if case .socket(let path) = settings.consul { configuration.socket = path }
      configuration.tokenFile = settings.tokenFile
      do throws(ConsulError) {
        client = try ConsulClient(configuration, group: group, logger: logger)
      } catch {
        throw CommandFailure("\(error); mesh.token_file names it", exitCode: .usage)
      }
      let diallers = MeshDiallers(
        of: service.inMesh, to: (ConsulMesh.targets[service] ?? []).map(\.inMesh), client: client, logger: logger)
      self.diallers = diallers
      state = Mutex(State(tasks: [Task { await diallers.run() }]))
    }

    func dialler(to service: ServiceName) -> any PeerDialler { MeshPeerDialler(dialler: diallers.dialler(to: service.inMesh)) }

    /// Whoever runs the services starts the sidecar: ops/mesh, systemd.
    func join(_ address: ListenAddress) async throws {
      let definition = ServiceDefinition(
        id: instanceID(port: address.port), service: service.inMesh, address: address.host, port: address.port,
        sidecarAddress: settings.sidecarAddress, sidecarPort: sidecarPort, metadata: ["version": "\(WireVersion.current)"],
        lifeSignEvery: service == .compute ? ConsulMesh.lifeSignTTL : nil, isTLS: isTLS)
      let registration = MeshRegistration(definition, client: client, logger: logger)
      let running = Task { await registration.run() }
      state.withLock { state in
        state.registration = registration
        state.tasks.append(running)
      }
    }

    func claim(_ log: LogIdentity) async throws { try await LogClaim(client, logger: logger).take(log) }

    func watchCallers(_ withdrawn: @escaping @Sendable () async -> Void) {
      let callers = CallerIntentions(of: service.inMesh, client: client, logger: logger)
      state.withLock { $0.tasks.append(Task { await callers.run(withdrawn) }) }
    }

    func leave() async {
      let (leasing, registration) = state.withLock { ($0.leasing, $0.registration) }
      leasing?.cancel()
      await leasing?.value
      await registration?.leave()
    }

    func shutDown() async {
      let tasks = state.withLock { state in
        defer { state.tasks = [] }
        return state.tasks
      }
      for task in tasks { task.cancel() }
      for task in tasks { await task.value }
    }

    func instances() async -> ServiceInstances {
      do throws(ConsulError) {
        let overview = try await client.overview(leases: LeaseConfiguration.prefixDefault)
        let instances = ServiceInstances(
          overview.instances.map {
            ServiceInstance(
              service: $0.service.rawValue, id: $0.id, address: $0.address, health: $0.health,
              partitions: $0.partitions.map { PartitionID($0) })
          }, problem: overview.problem)
        state.withLock { $0.overview = instances }
        return instances
      } catch {
        var last = state.withLock { $0.overview }
        last.problem = "as it was when Consul answered last: \(error)"
        return last
      }
    }

    // MARK: Leases

    var sharesPartitions: Bool { service == .compute }

    /// Says no to every partition until leasing has begun.
    var fence: PartitionFence {
      let leases = leaseFence
      return PartitionFence { leases.value?.holds($0.index) ?? false }
    }

    func lease(_ partitions: Int, for compute: ComputeService) {
      guard let registration = state.withLock({ $0.registration }) else { preconditionFailure("leases come after joining") }
      let (client, logger, leaseFence) = (client, logger, leaseFence)
      let leasing = Task {
        let id = await registration.id
        let leases = PartitionLeases(
          LeaseConfiguration(member: id, partitions: partitions, ttl: ConsulMesh.lifeSignTTL),
          client: client, registration: registration, holder: ComputeLeaseHolder(compute: compute, logger: logger),
          isReachable: {
            do throws(ConsulError) { return try await client.isListed(id, of: .compute) } catch {
              logger.debug("not known to be reachable: \(error)")
              return false
            }
          }, logger: logger)
        leaseFence.set(leases.fence)
        await leases.run()
      }
      state.withLock { $0.leasing = leasing }
    }

    /// The configured id, else one made of the service, the machine and the port.
    private func instanceID(port: Int) -> String {
      if let id = settings.instance { return id }
      let host = ProcessInfo.processInfo.hostName.map { ServiceDefinition.isValid(id: String($0)) ? $0 : "-" }
      return String("\(service.rawValue)-\(String(host))-\(port)".prefix(100))
    }

    private var sidecarPort: Int {
      guard settings.sidecarPort == 0 else { return settings.sidecarPort }
      return switch service {
      case .ingest: 21_001
      case .log: 21_002
      case .compute: 21_003
      case .query: 21_004
      }
    }
  }

  extension ServiceName {
    fileprivate var inMesh: MeshService {
      switch self {
      case .ingest: .ingest
      case .log: .log
      case .compute: .compute
      case .query: .query
      }
    }
  }

  /// The fence of leases that begin later than the service that asks it.
  private final class LateFence: Sendable {
    private let fence = Mutex<LeaseFence?>(nil)
    var value: LeaseFence? { fence.withLock { $0 } }
    func set(_ value: LeaseFence) { fence.withLock { $0 = value } }
  }
#endif
