#if Secure
  import Foundation
  import Logging
  import Mesh
  import NIOCore
  import Synchronization
  import Wire

  /// One service process's place in Consul's mesh: whom it dials, and what it is registered as.
  final class ConsulMesh: ServiceMesh {
    /// What the intentions allow, in the contract's words.
    static let targets: [ServiceName: [ServiceName]] = [.ingest: [.log], .compute: [.log], .query: [.log, .compute], .log: []]

    private let service: ServiceName
    private let settings: MeshSettings
    private let client: ConsulClient
    private let diallers: MeshDiallers
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
      var registration: MeshRegistration?
      var tasks: [Task<Void, Never>] = []
    }

    /// Begins to watch the local agent; one that is away is waited for by whoever dials.
    /// - Throws: `CommandFailure` if the token's file cannot be read.
    init(_ service: ServiceName, _ settings: MeshSettings, group: any EventLoopGroup, logger: Logger) throws {
      self.service = service
      self.settings = settings
      self.logger = logger
      var configuration = ConsulConfiguration(host: settings.consul.host, port: settings.consul.port)
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

    /// The sidecar is started by whoever runs the services: ops/mesh, systemd.
    func join(_ address: ListenAddress) async throws {
      let definition = ServiceDefinition(
        id: instanceID(port: address.port), service: service.inMesh, address: address.host, port: address.port,
        sidecarAddress: settings.sidecarAddress, sidecarPort: sidecarPort, metadata: ["version": "\(WireVersion.current)"])
      let registration = MeshRegistration(definition, client: client, logger: logger)
      let running = Task { await registration.run() }
      state.withLock { state in
        state.registration = registration
        state.tasks.append(running)
      }
    }

    func leave() async {
      let registration = state.withLock { $0.registration }
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

    /// As configured, else of the service, the machine and the port.
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
#endif
