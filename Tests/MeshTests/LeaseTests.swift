import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Mesh

/// Notes what a worker is told.
private final class Worker: LeaseHolder {
  let owned = Mutex<Set<Int>>([])
  /// The partitions it answers for, owned or not.
  let answered = Mutex<Set<Int>>([])
  let losses = Mutex(0)
  /// The time that `acquired` takes, as loading a state does.
  let loading: Duration

  init(loading: Duration) { self.loading = loading }

  func acquired(_ partitions: Set<Int>) async {
    try? await Task.sleep(for: loading)
    owned.withLock { $0.formUnion(partitions) }
    answered.withLock { $0.formUnion(partitions) }
  }
  func handOver(_ partitions: Set<Int>) async { owned.withLock { $0.subtract(partitions) } }
  func release(_ partitions: Set<Int>) async {
    owned.withLock { $0.subtract(partitions) }
    answered.withLock { $0.subtract(partitions) }
  }
  func lost(_ partitions: Set<Int>) async {
    await handOver(partitions)
    losses.withLock { $0 += 1 }
  }
  var partitions: Set<Int> { owned.withLock { $0 } }
}

/// One compute instance: registered, with leases, until it leaves or is killed.
private final class Member: Sendable {
  let worker: Worker
  let leases: PartitionLeases
  let registration: MeshRegistration
  private let task: Task<Void, Never>
  private let keeping: Task<Void, Never>

  init(
    _ id: String, _ client: ConsulClient, partitions: Int = 8, loading: Duration = .zero,
    isReachable: @escaping @Sendable () async -> Bool = { true }
  ) async throws {
    worker = Worker(loading: loading)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let registration = MeshRegistration(
      ServiceDefinition(
        id: id, service: .compute, address: "127.0.0.1", port: 9, sidecarPort: 9, lifeSignEvery: .seconds(2)),
      client: client, logger: logger)
    self.registration = registration
    let leases = PartitionLeases(
      LeaseConfiguration(member: id, partitions: partitions), client: client, registration: registration, holder: worker,
      isReachable: isReachable, logger: logger)
    self.leases = leases
    try await registration.register()
    keeping = Task { await registration.run() }
    task = Task { await leases.run() }
  }

  var held: Set<Int> { leases.fence.partitions.filter { leases.fence.holds($0) } }

  func leave() async {
    task.cancel()
    await task.value
    keeping.cancel()
    await registration.leave()
  }
}

@Suite(.serialized, .timeLimit(.minutes(2))) struct LeaseTests {
  private let group = MultiThreadedEventLoopGroup.singleton
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private func client(_ consul: ConsulProcess) throws -> ConsulClient {
    try ConsulClient(ConsulConfiguration(port: consul.httpPort), group: group, logger: logger)
  }

  /// The agent's node has its check a moment after the agent answers.
  private func session(_ client: ConsulClient, name: String, check: String) async throws -> String {
    let made = Mutex<String?>(nil)
    #expect(
      await eventually {
        let id = try? await client.createSession(name: name, check: check, lockDelay: .seconds(1))
        made.withLock { $0 = $0 ?? id }
        return id != nil
      })
    return try #require(made.withLock { $0 })
  }

  @Test("one alone takes all; a second takes half, and no more moves; one that leaves hands its share back at once")
  func joinAndLeave() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.held == Set(0..<8) && a.worker.partitions == Set(0..<8) })

    let b = try await Member("compute-b", client)
    #expect(await eventually { a.held.count == 4 && b.held.count == 4 && b.worker.partitions.count == 4 })
    #expect(a.held.isDisjoint(with: b.held))
    #expect(a.worker.partitions == a.held && b.worker.partitions == b.held)
    #expect(a.held == Set(0..<4), "the first keeps what it need not give")

    let c = try await Member("compute-c", client)
    #expect(await eventually { [a, b, c].map(\.held.count).sorted() == [2, 3, 3] })
    #expect(a.held.isSubset(of: Set(0..<4)) && b.held.isSubset(of: Set(4..<8)))

    await b.leave()
    #expect(b.held == [])
    #expect(await eventually { a.held.count == 4 && c.held.count == 4 })
    #expect(a.worker.losses.withLock { $0 } == 0 && b.worker.losses.withLock { $0 } == 0)
    await a.leave()
    await c.leave()
    // Nobody's keys are left behind.
    #expect(try await consul.run(["kv", "get", "-keys", "penstock/"]).split(whereSeparator: \.isWhitespace) == [])
  }

  @Test(
    "whoever joins or leaves in order: every partition is answered for at every moment, however long its new owner takes to begin"
  )
  func handOver() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.worker.answered.withLock { $0.count } == 8 })
    let members = Mutex([a])
    let gaps = Mutex<Set<Int>>([])
    let watching = Task {
      while !Task.isCancelled {
        let answered = members.withLock { $0 }.reduce(into: Set<Int>()) { all, member in
          all.formUnion(member.worker.answered.withLock { $0 })
        }
        gaps.withLock { $0.formUnion(Set(0..<8).subtracting(answered)) }
        try? await Task.sleep(for: .milliseconds(1))
      }
    }
    let b = try await Member("compute-b", client, loading: .milliseconds(700))
    members.withLock { $0.append(b) }
    #expect(await eventually { b.worker.answered.withLock { $0.count } == 4 && a.worker.answered.withLock { $0.count } == 4 })
    await a.leave()
    #expect(b.worker.answered.withLock { $0 } == Set(0..<8), "one that leaves waits for its heirs")
    watching.cancel()
    await watching.value
    #expect(gaps.withLock { $0 } == [])
    await b.leave()
  }

  @Test("one that nobody can call leases nothing, and takes its share as soon as somebody can")
  func unreachable() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.held.count == 8 })
    let isReachable = Mutex(false)
    let asked = Mutex(0)
    let b = try await Member("compute-b", client) {
      asked.withLock { $0 += 1 }
      return isReachable.withLock { $0 }
    }
    #expect(await eventually { asked.withLock { $0 } > 5 })
    #expect(a.held.count == 8 && b.held.isEmpty)
    #expect(try await !consul.run(["kv", "get", "-keys", "-separator=", "penstock/compute/members/"]).contains("compute-b"))
    isReachable.withLock { $0 = true }
    #expect(await eventually { a.held.count == 4 && b.held.count == 4 })
    await b.leave()
    await a.leave()
  }

  @Test("one that dies is replaced within 5 seconds")
  func death() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    // A worker that gave its last sign of life just now, and is dead since.
    try await client.register(
      ServiceDefinition(
        id: "compute-dead", service: .compute, address: "127.0.0.1", port: 9, sidecarPort: 9, lifeSignEvery: .seconds(2)))
    try await client.pass(check: "live-compute-dead", timeout: .seconds(1))
    let died = ContinuousClock.now
    let session = try await session(client, name: "dead", check: "live-compute-dead")
    var locks = [KVOperation(verb: .lock, key: "penstock/compute/members/compute-dead", value: "compute-dead", session: session)]
    locks += (0..<8).map {
      KVOperation(verb: .lock, key: "penstock/compute/partitions/\($0)", value: "compute-dead", session: session)
    }
    #expect(try await client.transact(locks) != nil)

    let heir = try await Member("compute-heir", client)
    #expect(await eventually { heir.held == Set(0..<8) })
    let took = ContinuousClock.now - died
    #expect(took < .seconds(5), "replaced after \(took)")
    await heir.leave()
  }

  @Test("whoever's session ends holds nothing from then on, hears of it, and joins again")
  func sessionEnded() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.held.count == 8 })
    let before = a.leases.fence.token(of: 0) ?? .max
    let session = try #require(await a.leases.sessionID)
    try await client.destroySession(session)
    #expect(await eventually { a.worker.losses.withLock { $0 } == 1 })
    #expect(a.worker.answered.withLock { $0 } == Set(0..<8), "nobody else answers yet")
    #expect(await eventually { a.held == Set(0..<8) && a.worker.partitions == Set(0..<8) })
    #expect(try #require(a.leases.fence.token(of: 0)) > before, "a later lease has a greater token")
    await a.leave()
  }

  @Test("a killed instance that comes back under its id takes over from its former self")
  func sameIdAgain() async throws {
    let consul = try await ConsulProcess.start()
    let client = try client(consul)
    try await client.register(
      ServiceDefinition(
        id: "compute-a", service: .compute, address: "127.0.0.1", port: 9, sidecarPort: 9, lifeSignEvery: .seconds(2)))
    let session = try await session(client, name: "former", check: "live-compute-a")
    #expect(
      try await client.transact([
        KVOperation(verb: .lock, key: "penstock/compute/members/compute-a", value: "compute-a", session: session),
        KVOperation(verb: .lock, key: "penstock/compute/partitions/3", value: "compute-a", session: session),
      ]) != nil)
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.held == Set(0..<8) })
    await a.leave()
  }

  @Test("without its agent a worker stops to act within the TTL")
  func agentGone() async throws {
    var consul: ConsulProcess? = try await ConsulProcess.start()
    let client = try client(#require(consul))
    let a = try await Member("compute-a", client)
    #expect(await eventually { a.held.count == 8 })
    consul = nil
    #expect(await eventually(within: .seconds(10)) { a.held == [] })
    #expect(a.worker.losses.withLock { $0 } == 0, "it may still own them: nobody said otherwise")
    await a.leave()
  }
}

/// An agent that has `log-1` and nothing else.
private final class KnowsOne: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    let status: HTTPResponseStatus = head.uri == "/v1/agent/service/log-1" ? .ok : .notFound
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: ["Content-Length": "0"]))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}

@Suite(.serialized, .timeLimit(.minutes(1))) struct ConsulClientTests {
  private let group = MultiThreadedEventLoopGroup.singleton
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  @Test("an instance registers with its checks, and is gone once it leaves")
  func registration() async throws {
    let consul = try await ConsulProcess.start()
    let client = try ConsulClient(ConsulConfiguration(port: consul.httpPort), group: group, logger: logger)
    let agent = try await client.agent()
    #expect(agent.datacenter == "dc1" && agent.node == "test" && agent.version.first?.isNumber == true)

    let registration = MeshRegistration(
      ServiceDefinition(
        id: "query-1", service: .query, address: "127.0.0.1", port: 8080, sidecarPort: 21000, metadata: ["version": "1"]),
      client: client, logger: logger)
    try await registration.register()
    #expect(try await client.isRegistered("query-1"))
    #expect(try await client.isRegistered("query-1-sidecar-proxy"))
    #expect(try await consul.run(["catalog", "services", "-tags"]).contains("penstock-query-sidecar-proxy"))
    await registration.leave()
    #expect(try await !client.isRegistered("query-1"))
    #expect(try await !client.isRegistered("query-1-sidecar-proxy"))
    await registration.leave()
  }

  @Test("an agent that forgot an instance is told again")
  func forgotten() async throws {
    let consul = try await ConsulProcess.start()
    let client = try ConsulClient(ConsulConfiguration(port: consul.httpPort), group: group, logger: logger)
    let registration = MeshRegistration(
      ServiceDefinition(id: "log-1", service: .log, address: "127.0.0.1", port: 7000, sidecarPort: 21000),
      client: client, refresh: .milliseconds(20), logger: logger)
    let running = Task { await registration.run() }
    defer { running.cancel() }
    #expect(await eventually { (try? await client.isRegistered("log-1")) == true })
    try await client.deregister("log-1")
    #expect(await eventually { (try? await client.isRegistered("log-1")) == true })
  }

  @Test("an agent that answers on a Unix socket is asked there")
  func unixSocket() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/http.sock"
    let server = try await ServerBootstrap(group: group)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(KnowsOne())
        }
      }
      .bind(unixDomainSocketPath: path).get()
    var configuration = ConsulConfiguration()
    configuration.socket = path
    let client = try ConsulClient(configuration, group: group, logger: logger)
    #expect(try await client.isRegistered("log-1"))
    #expect(try await !client.isRegistered("log-2"))
    try await server.close()
    await #expect { _ = try await client.isRegistered("log-1") } throws: { ($0 as? ConsulError)?.code == .unreachable }
  }

  @Test("no agent, and a token the agent does not know, are errors of their own")
  func errors() async throws {
    let port = try freePorts(1)[0]
    let nobody = try ConsulClient(ConsulConfiguration(port: port), group: group, logger: logger)
    await #expect { _ = try await nobody.agent() } throws: { ($0 as? ConsulError)?.code == .unreachable }
    #expect(throws: ConsulError.self) {
      _ = try ConsulClient(ConsulConfiguration(tokenFile: "/nonexistent/token"), group: group, logger: logger)
    }
  }
}
