#if Secure
  import Foundation
  import Logging
  import NIOCore
  import NIOPosix
  import TestSupport
  import Testing

  @testable import Mesh

  /// A Consul with the mesh's intentions, and an echo behind a sidecar as one of the services.
  final class Stage: Sendable {
    let consul: ConsulProcess
    let echo: EchoService
    let service: MeshService
    let sidecarPort: Int
    let registration: MeshRegistration
    /// With the right to all.
    let client: ConsulClient
    let group = MultiThreadedEventLoopGroup.singleton
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let folder: URL

    init(_ service: MeshService = .log, acls: Bool = false) async throws {
      self.service = service
      folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-stage-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      consul = try await ConsulProcess.start(acls: acls)
      try await consul.run(["intention", "create", "-deny", "*", "*"])
      for (source, target) in [
        ("ingest", "log"), ("compute", "log"), ("query", "log"), ("query", "compute"),
      ] { try await consul.run(["intention", "create", "-allow", "penstock-\(source)", "penstock-\(target)"]) }

      var configuration = ConsulConfiguration(port: consul.httpPort)
      if let token = consul.token {
        configuration.tokenFile = folder.appendingPathComponent("management.token").path
        try token.write(toFile: configuration.tokenFile!, atomically: true, encoding: .utf8)
      }
      client = try ConsulClient(configuration, group: group, logger: logger)
      echo = try await EchoService.start(group)
      sidecarPort = try freePorts(1)[0]
      let id = "\(service.rawValue)-1"
      let own = acls ? try await Stage.token(of: service, consul, folder) : nil
      configuration.tokenFile = own
      registration = MeshRegistration(
        ServiceDefinition(
          id: id, service: service, address: "127.0.0.1", port: echo.port, sidecarPort: sidecarPort, metadata: ["version": "1"]),
        client: try ConsulClient(configuration, group: group, logger: logger), logger: logger)
      try await registration.register()
      try consul.startSidecar(for: id, tokenFile: own)
    }

    deinit {
      do { try FileManager.default.removeItem(at: folder) } catch { print("left: \(folder.path)") }
    }

    /// A client with the least policy that config/consul/policies gives a service.
    func client(of service: MeshService) async throws -> ConsulClient {
      var configuration = ConsulConfiguration(port: consul.httpPort)
      configuration.tokenFile = try await Stage.token(of: service, consul, folder)
      return try ConsulClient(configuration, group: group, logger: logger)
    }

    /// - Returns: The path of a file with a token of the service's policy.
    private static func token(of service: MeshService, _ consul: ConsulProcess, _ folder: URL) async throws -> String {
      let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
      let name = service.rawValue.dropFirst("penstock-".count)
      let policy = repository.appendingPathComponent("config/consul/policies/\(name).hcl").path
      try await consul.run(["acl", "policy", "create", "-name", service.rawValue, "-rules", "@\(policy)"])
      let secret = UUID().uuidString.lowercased()
      try await consul.run(["acl", "token", "create", "-policy-name", service.rawValue, "-secret", secret])
      let path = folder.appendingPathComponent("\(name).token").path
      try secret.write(toFile: path, atomically: true, encoding: .utf8)
      return path
    }

    /// The instance as the health endpoint would list it, as soon as the sidecar listens and before its checks pass.
    var instance: MeshInstance {
      get async throws {
        #expect(await eventually { await self.acceptsConnections() })
        return MeshInstance(
          ConnectHealthEntry(
            Node: .init(Address: "127.0.0.1", Datacenter: "dc1"), Service: .init(ID: "x", Address: "127.0.0.1", Port: sidecarPort)
          ))
      }
    }

    private func acceptsConnections() async -> Bool {
      do {
        try await ClientBootstrap(group: group).connect(host: "127.0.0.1", port: sidecarPort).get().close()
        return true
      } catch {
        return false
      }
    }

    /// Runs `body` with a dialler of `source` to the service, kept fresh meanwhile.
    @discardableResult
    func dialling<R: Sendable>(as source: MeshService, _ body: @escaping @Sendable (ConnectDialler) async throws -> R)
      async throws
      -> R
    {
      let diallers = MeshDiallers(of: source, to: [service], client: client, logger: logger)
      let running = Task { await diallers.run() }
      defer { running.cancel() }
      await diallers.waitUntilReady()
      return try await body(diallers.dialler(to: service))
    }
  }
#endif
