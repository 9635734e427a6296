#if Secure
  import Compute
  import Events
  import Foundation
  import Logging
  import Mesh
  import NIOCore
  import Synchronization
  import Wire

  /// One service process's place in the mesh: whom it dials, what it is registered as, and, for compute, its leases.
  ///
  /// In order: `join`; open the service, its peers dialled by `dialler(to:)`; `register` once it listens; at the end `leave`, before it
  /// stops to listen.
  final class MeshMembership: Sendable {
    /// How often compute gives signs of life: how soon its death is noticed.
    static let lifeSignTTL = Duration.seconds(2)
    /// What the intentions allow, in the contract's words.
    static let targets: [MeshService: [MeshService]] = [.ingest: [.log], .compute: [.log], .query: [.log, .compute], .log: []]

    let service: MeshService
    let client: ConsulClient
    let fence: PartitionFence
    private let settings: Settings
    private let diallers: MeshDiallers
    private let logger: Logger
    private let state = Mutex(State())
    private let leaseFence = LateFence()

    private struct State {
      var registration: MeshRegistration?
      var tasks: [Task<Void, Never>] = []
      var leasing: Task<Void, Never>?
    }

    /// Waits for the local agent and this service's certificate, for as long as it takes or until the task is cancelled.
    static func join(_ service: MeshService, _ settings: Settings, group: any EventLoopGroup, logger: Logger) async throws
      -> MeshMembership
    {
      var configuration = ConsulConfiguration(host: settings.mesh.consul.host, port: settings.mesh.consul.port)
      configuration.tokenFile = settings.mesh.tokenFile
      let client: ConsulClient
      do throws(ConsulError) {
        client = try ConsulClient(configuration, group: group, logger: logger)
      } catch {
        throw CommandFailure("\(error); mesh.token_file names it", exitCode: .usage)
      }
      let datacenter: String
      if let given = settings.mesh.datacenter {
        datacenter = given
      } else {
        datacenter = try await agent(client, logger).datacenter
      }
      let membership = MeshMembership(service, settings, client, datacenter, logger)
      let running = Task { await membership.diallers.run() }
      membership.state.withLock { $0.tasks.append(running) }
      logger.info("waiting for a certificate from the agent at \(settings.mesh.consul)")
      await membership.diallers.waitUntilReady()
      try Task.checkCancellation()
      return membership
    }

    private static func agent(_ client: ConsulClient, _ logger: Logger) async throws -> ConsulAgentSelf {
      while true {
        do throws(ConsulError) {
          return try await client.agent()
        } catch {
          guard error.code != .forbidden else {
            throw CommandFailure("\(error): set mesh.datacenter, or give the token agent:read", exitCode: .usage)
          }
          logger.warning("\(error); trying again")
        }
        try await Task.sleep(for: .seconds(1))
      }
    }

    private init(_ service: MeshService, _ settings: Settings, _ client: ConsulClient, _ datacenter: String, _ logger: Logger) {
      self.service = service
      self.settings = settings
      self.client = client
      self.logger = logger
      diallers = MeshDiallers(
        of: service, to: MeshMembership.targets[service] ?? [], datacenter: datacenter, client: client, logger: logger)
      let leases = leaseFence
      fence = PartitionFence { leases.value?.holds($0.index) ?? false }
    }

    /// - Precondition: The contract lets this service call `target`.
    func dialler(to target: MeshService) -> any PeerDialler { MeshPeerDialler(dialler: diallers.dialler(to: target)) }

    /// The instance's id: as configured, else of the service, the machine and the port.
    func instanceID(port: Int) -> String {
      if let id = settings.mesh.instance { return id }
      let host = ProcessInfo.processInfo.hostName.map { ServiceDefinition.isValid(id: String($0)) ? $0 : "-" }
      return String("\(service.rawValue.dropFirst("penstock-".count))-\(String(host))-\(port)".prefix(100))
    }

    private var sidecarPort: Int {
      guard settings.mesh.sidecarPort == 0 else { return settings.mesh.sidecarPort }
      return switch service {
      case .ingest: 21_001
      case .log: 21_002
      case .compute: 21_003
      case .query: 21_004
      }
    }

    /// Registers with the agent, and stays so. The sidecar is started by whoever runs the services (ops/mesh, systemd).
    /// - Parameter address: Where the service listens; its check asks `/readyz` there.
    func register(_ address: ListenAddress) async throws {
      let id = instanceID(port: address.port)
      let definition = ServiceDefinition(
        id: id, service: service, address: address.host, port: address.port, sidecarAddress: settings.mesh.sidecarAddress,
        sidecarPort: sidecarPort, metadata: ["version": "\(WireVersion.current)"],
        lifeSignEvery: service == .compute ? MeshMembership.lifeSignTTL : nil)
      let registration = MeshRegistration(definition, client: client, logger: logger)
      let running = Task { await registration.run() }
      state.withLock { state in
        state.registration = registration
        state.tasks.append(running)
      }
    }

    /// Compute: leases a share of the partitions, and has `compute` own exactly those leased, until `leave`.
    /// - Precondition: Registered.
    func lease(_ partitions: Int, for compute: ComputeService) {
      guard let registration = state.withLock({ $0.registration }) else { preconditionFailure("leases need a registration") }
      let task = Task {
        let id = await registration.id
        let holder = ComputeLeaseHolder(compute: compute, registration: registration, logger: logger)
        let leases = PartitionLeases(
          LeaseConfiguration(member: id, partitions: partitions, ttl: MeshMembership.lifeSignTTL), client: client,
          registration: registration, holder: holder, logger: logger)
        leaseFence.set(leases.fence)
        await leases.run()
      }
      state.withLock { $0.leasing = task }
    }

    /// Gives leases back, takes the instance out of the mesh. Connections to peers stay until `close`.
    func leave() async {
      let (leasing, registration) = state.withLock { ($0.leasing, $0.registration) }
      leasing?.cancel()
      await leasing?.value
      await registration?.leave()
    }

    /// Ends the watches and closes connections to peers.
    func close() async {
      let tasks = state.withLock { state in
        defer { state.tasks = [] }
        return state.tasks
      }
      for task in tasks { task.cancel() }
      for task in tasks { await task.value }
    }
  }

  /// The fence of leases that come to be after what asks it.
  private final class LateFence: Sendable {
    private let fence = Mutex<LeaseFence?>(nil)
    var value: LeaseFence? { fence.withLock { $0 } }
    func set(_ value: LeaseFence) { fence.withLock { $0 = value } }
  }
#endif
