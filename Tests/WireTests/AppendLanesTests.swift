import Events
import LogTestSupport
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import Synchronization
import TestSupport
import Testing

@testable import Log
@testable import Wire

/// A log's routes that count what they are asked, and hold it back while they are told to.
private final class HeldRoutes: WireRoutes {
  private struct State {
    var requests: [String: Int] = [:]
    var longestBody = 0
    var isHolding = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let routes: LogRoutes
  private let state = Mutex(State())

  init(_ log: any EventLog) { routes = LogRoutes(log: log) }

  var openAPI: [UInt8] { routes.openAPI }
  var headers: [(name: String, value: String)] { routes.headers }

  func requests(_ path: String) -> Int { state.withLock { $0.requests[path] ?? 0 } }
  var longestBody: Int { state.withLock { $0.longestBody } }
  func hold() { state.withLock { $0.isHolding = true } }

  func goOn() {
    let waiting = state.withLock { state in
      state.isHolding = false
      defer { state.waiting = [] }
      return state.waiting
    }
    for one in waiting { one.resume() }
  }

  var table: RouteTable<WireEndpoint> {
    RouteTable(
      routes.table.paths.flatMap(\.routes).compactMap { route in
        guard case .endpoint(let endpoint) = route.target else { return nil }
        let held: WireEndpoint = { [self] request in
          await hold(request)
          return await endpoint(request)
        }
        return Route(route.method, route.path, .endpoint(held), bodyBytesMax: route.bodyBytesMax, pace: route.pace)
      })
  }

  private func hold(_ request: HTTPRequest) async {
    await withCheckedContinuation { continuation in
      let isHeld = state.withLock { state in
        state.requests[String(request.path), default: 0] += 1
        state.longestBody = max(state.longestBody, request.body.readableBytes)
        if state.isHolding { state.waiting.append(continuation) }
        return state.isHolding
      }
      if !isHeld { continuation.resume() }
    }
  }
}

/// A log of which some partitions refuse what they are given.
private final class RefusingLog: ForwardingLog {
  let log: any EventLog
  let refused: Mutex<[PartitionID: LogError.Code]>

  init(_ log: any EventLog, _ refused: [PartitionID: LogError.Code]) {
    self.log = log
    self.refused = Mutex(refused)
  }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    if let code = refused.withLock({ $0[batch.partition] }) {
      return completion(.failure(LogError(code, partition: batch.partition, "refused by the test")))
    }
    log.append(batch, completion: completion)
  }
}

/// The results of the batches offered, by partition, in the order of completion.
private final class Outcomes: Sendable {
  private let results = Mutex<[Int: [Result<AppendReceipt, LogError>]]>([:])

  func add(_ result: Result<AppendReceipt, LogError>, of partition: Int) {
    results.withLock { $0[partition, default: []].append(result) }
  }

  func of(_ partition: Int) -> [Result<AppendReceipt, LogError>] { results.withLock { $0[partition] ?? [] } }
  var count: Int { results.withLock { $0.values.reduce(0) { $0 + $1.count } } }
  var failures: Int { results.withLock { $0.values.joined().count { (try? $0.get()) == nil } } }
}

@Suite("Appends of several partitions") struct AppendLanesTests {
  private static let partitions = 8

  /// Runs `body` with a log served by `routes`, and the log as it is reached over the wire.
  private func withLog(
    refusing: [PartitionID: LogError.Code] = [:], _ body: (RefusingLog, HeldRoutes, RemoteLog, WireClient) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = AppendLanesTests.partitions
    let storage = try await SegmentedLog.open(configuration, logger: quiet)
    let log = RefusingLog(storage, refusing)
    let routes = HeldRoutes(log)
    let server = WireServer(
      name: "log", host: "127.0.0.1", port: 0, group: ServedLog.group, routes: routes,
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    let port = try #require(try await server.start()?.port)
    let client = WireClient(dialler: LoopbackDialler(service: "log", [.init(id: "log-1", port: port)]), group: ServedLog.group)
    let remote = try await RemoteLog.connect(client, logger: quiet)
    try await body(log, routes, remote, client)
    routes.goOn()
    await remote.close(timeout: .zero)
    await client.close()
    await server.shutDown(timeout: .seconds(2))
    await storage.close()
  }

  private func offer(
    _ log: RemoteLog, _ partition: Int, _ values: Range<Int>, _ done: Outcomes
  ) {
    for value in values {
      log.append(ColumnBatch(events: [event("s\(partition)", value: Int64(value))], partition: PartitionID(partition))) {
        result in
        done.add(result, of: partition)
      }
    }
  }

  @Test("receipts keep why a duplicate is suspect, and whose the first exceptions are; what is cut off is none")
  func receipts() {
    var receipt = AppendReceipt(
      baseOffset: Offset(4), endOffset: Offset(5),
      exceptions: [
        .init(row: 0, reason: .duplicate, suspicion: .skipped), .init(row: 1, reason: .duplicate),
        .init(row: 2, reason: .duplicate, suspicion: .newer), .init(row: 4, reason: .fenced(currentEpoch: .max)),
      ])
    receipt.named = [0, 2, 4].map {
      .init(row: $0, source: "s/\($0)", sequence: UInt64.max - UInt64($0), last: ProducerPosition(epoch: 3, sequence: .max))
    }
    let results: [Result<AppendReceipt, LogError>] = [
      .success(receipt), .failure(LogError(.io, "why")), .success(AppendReceipt(baseOffset: Offset(5), endOffset: Offset(6))),
    ]
    let bytes = ReceiptCoding.encode(results)
    #expect(ReceiptCoding.decode(bytes, rows: [5, 1, 1]) == results)
    for count in 0..<bytes.readableBytes {
      #expect(ReceiptCoding.decode(bytes.getSlice(at: 0, length: count) ?? bytes, rows: [5, 1, 1]) == nil, "\(count)")
    }
  }

  @Test("what waits in all partitions goes in one request, while two at most are under way")
  func together() async throws {
    try await withLog { log, routes, remote, _ in
      let done = Outcomes()
      routes.hold()
      for partition in 0..<2 {
        offer(remote, partition, 0..<1, done)
        #expect(await eventually { routes.requests("/v1/log/batches") == partition + 1 })
      }
      for partition in 0..<AppendLanesTests.partitions { offer(remote, partition, 1..<20, done) }
      #expect(routes.requests("/v1/log/batches") == AppendLanes.requestsMax)
      routes.goOn()
      #expect(await eventually { done.count == 2 + 8 * 19 })
      // The first two, and of the rest what was free when each of them was answered.
      #expect(routes.requests("/v1/log/batches") <= 2 + 2 * AppendLanes.requestsMax)
      for partition in 0..<AppendLanesTests.partitions {
        let values = try await readAll(remote, PartitionID(partition)).map(\.data)
        #expect(values == (partition < 2 ? 0..<20 : 1..<20).map { .int(Int64($0)) }, "partition \(partition)")
      }
      #expect(done.failures == 0)
    }
  }

  @Test("a partition that takes nothing keeps no other from it, and goes on in order once it takes batches again")
  func refusing() async throws {
    try await withLog(refusing: [PartitionID(3): .poisoned, PartitionID(5): .corrupt]) { log, _, remote, _ in
      let done = Outcomes()
      for value in 0..<30 {
        for partition in 0..<AppendLanesTests.partitions { offer(remote, partition, value..<value + 1, done) }
      }
      #expect(await eventually { done.count == 7 * 30 })
      // Passing failures are waited for, others are reported.
      #expect(done.of(3).isEmpty && done.failures == 30)
      for result in done.of(5) {
        guard case .failure(let error) = result else { continue }
        #expect(error.code == .corrupt && error.partition == PartitionID(5))
      }
      log.refused.withLock { $0[PartitionID(3)] = nil }
      #expect(await eventually { done.of(3).count == 30 })
      for partition in 0..<AppendLanesTests.partitions where partition != 5 {
        let values = try await readAll(remote, PartitionID(partition)).map(\.data)
        #expect(values == (0..<30).map { .int($0) }, "partition \(partition)")
      }
    }
  }

  @Test("a request holds 64 batches of a partition at most, and 4 MiB of batches")
  func bounded() async throws {
    try await withLog { log, routes, remote, client in
      let done = Outcomes()
      func large(_ partition: Int, _ number: Int) -> ColumnBatch {
        let long = String(repeating: "\(number)", count: 1_000_000)
        let event = Event(
          source: "l\(partition)", type: "t", id: nil, time: Timestamp(nanoseconds: 0), sequence: nil, epoch: nil,
          attributes: [:],
          data: .string(long))
        return ColumnBatch(events: [event], partition: PartitionID(partition))
      }
      routes.hold()
      for partition in 0..<2 {
        offer(remote, partition, 0..<1, done)
        #expect(await eventually { routes.requests("/v1/log/batches") == partition + 1 })
      }
      for number in 0..<3 {
        for partition in 2..<6 { remote.append(large(partition, number)) { done.add($0, of: partition) } }
      }
      offer(remote, 6, 0..<200, done)
      routes.goOn()
      #expect(await eventually { done.count == 2 + 12 + 200 })
      #expect(done.failures == 0)
      let values = try await readAll(remote, PartitionID(6)).map(\.data)
      #expect(values == (0..<200).map { .int($0) })
      #expect(routes.requests("/v1/log/batches") >= 2 + 4)
      // The bound is of batches without their tags.
      #expect((3_000_000...BatchFraming.groupBytesMax + 64 << 10).contains(routes.longestBody))
      // More than 64 of one partition are refused as a whole.
      let peer = try #require(client.dialler.peers().peers.first)
      let one = ColumnBatch(events: [event("many")], partition: PartitionID(7))
      for (count, status) in [(64, 200), (65, 400)] {
        let body = BatchFraming.encode(Array(repeating: one, count: count))
        let request = WireRequest(.POST, "/v1/log/batches", contentType: WireContent.batches, body: body)
        #expect(try await client.send(request, to: peer, within: .seconds(30)).status == status)
      }
      #expect(try await remote.bounds(of: PartitionID(7)).highWatermark == Offset(64))
    }
  }

  @Test("a batch of a partition that there is not is refused by itself")
  func unknown() async throws {
    try await withLog { log, _, remote, client in
      let peer = try #require(client.dialler.peers().peers.first)
      let batches = [1, 500, 2].map { ColumnBatch(events: [event("s")], partition: PartitionID($0)) }
      let request = WireRequest(.POST, "/v1/log/batches", contentType: WireContent.batches, body: BatchFraming.encode(batches))
      let answer = try await client.send(request, to: peer, within: .seconds(30))
      let results = try #require(ReceiptCoding.decode(answer.body, rows: [1, 1, 1]))
      #expect(results.map { (try? $0.get())?.endOffset } == [Offset(1), nil, Offset(1)])
      guard case .failure(let error) = results[1] else { return }
      #expect(error.code == .unknownPartition)
    }
  }
}
