#if Secure
  import Compute
  import Events
  import Query
  import Wire

  /// Connects a service's process with the others: Consul's mesh, or plain sockets of this machine in tests.
  protocol ServiceMesh: Sendable {
    /// Finds and reaches the instances of another service.
    func dialler(to service: ServiceName) -> any PeerDialler

    /// Announces this instance to the others: it accepts connections from now on.
    func join(_ address: ListenAddress) async throws

    /// Makes a log the mesh's one log; to be called before it joins.
    /// - Throws: `CommandFailure` when the mesh has another log.
    func claim(_ log: LogIdentity) async throws

    /// Calls `withdrawn` whenever a caller of this service is no longer allowed, until `shutDown`.
    func watchCallers(_ withdrawn: @escaping @Sendable () async -> Void)

    /// Every instance of every service, as the mesh has it now.
    func instances() async -> ServiceInstances

    /// Whether several compute instances share the partitions, each with leases of its own.
    var sharesPartitions: Bool { get }

    /// Whether this instance may act for a partition.
    var fence: PartitionFence { get }

    /// Makes `compute` own its share of the partitions, until `leave`. Where one instance owns all, nothing changes.
    /// - Precondition: The instance has joined.
    func lease(_ partitions: Int, for compute: ComputeService)

    /// Leaves the mesh, before the instance stops accepting: leases first.
    func leave() async

    /// Ends all that the mesh does for this process; diallers fail from now on.
    func shutDown() async
  }

  /// Finds instances of other services by given ports: `log=7000`, `compute=8000`.
  struct LoopbackMesh: ServiceMesh {
    private let ports: [(service: ServiceName, port: Int)]

    init(_ texts: [String]) throws {
      ports = try texts.map { text in
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let service = ServiceName(rawValue: String(parts[0])), let port = Int(parts[1]),
          (1...65_535).contains(port)
        else {
          throw CommandFailure("--loopback-peer: expected SERVICE=PORT, as log=7000, not '\(text.prefix(64))'", exitCode: .usage)
        }
        return (service, port)
      }
    }

    func dialler(to service: ServiceName) -> any PeerDialler {
      LoopbackDialler(
        service: "penstock-\(service.rawValue)",
        ports.filter { $0.service == service }.map { .init(id: "\(service.rawValue)-\($0.port)", port: $0.port) })
    }

    func instances() async -> ServiceInstances {
      ServiceInstances(
        ports.map {
          ServiceInstance(
            service: "penstock-\($0.service.rawValue)", id: "\($0.service.rawValue)-\($0.port)", address: "127.0.0.1:\($0.port)",
            health: "passing")
        })
    }

    var sharesPartitions: Bool { false }
    var fence: PartitionFence { .open }

    func join(_ address: ListenAddress) async throws {}
    func claim(_ log: LogIdentity) async throws {}
    func watchCallers(_ withdrawn: @escaping @Sendable () async -> Void) {}
    func lease(_ partitions: Int, for compute: ComputeService) {}
    func leave() async {}
    func shutDown() async {}
  }
#endif
