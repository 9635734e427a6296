import Events
import LogTestSupport
import NIOCore
import NIOHTTP1
import Serving
import TestSupport
import Testing

@testable import Log
@testable import Wire

@Suite("The record of views over the wire", .timeLimit(.minutes(2)))
struct RemoteViewsRecordTests {
  @Test("read, appended to once, and waited for as in process")
  func asInProcess() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 2
    configuration.sync = .never
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    let record = try ViewsRecordFile(directory: directory.path, logger: quiet)
    let server = WireServer(
      name: "log", host: "127.0.0.1", port: 0, group: ServedLog.group, routes: LogRoutes(log: log, views: record),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    let port = try #require(try await server.start()?.port)
    let client = WireClient(dialler: LoopbackDialler(service: "log", [.init(id: "log", port: port)]), group: ServedLog.group)
    let remote = try await RemoteLog.connect(client, logger: quiet)
    let peer = try #require(client.dialler.peers().peers.first)

    #expect(try await remote.entries(from: 0, bytesMax: 1 << 20).isEmpty)
    let waiting = Task { try await remote.waitForEntry(past: 0) }
    let first: [UInt8] = Array(repeating: 7, count: 3 << 20)
    #expect(try await remote.append(first, as: 0))
    try await waiting.value
    // The answer may have been lost.
    #expect(try await remote.append(first, as: 0))
    #expect(try await remote.append([1], as: 0) == false)
    #expect(try await remote.append([1], as: 2) == false)
    #expect(try await remote.append([2, 3], as: 1))
    #expect(try await remote.entries(from: 0, bytesMax: 1) == [first])
    #expect(try await remote.entries(from: 0, bytesMax: 4 << 20) == [first, [2, 3]])
    #expect(try await remote.entries(from: 2, bytesMax: 1).isEmpty)
    let beyond = await #expect(throws: LogError.self) { try await remote.entries(from: 3, bytesMax: 1) }
    #expect(beyond?.code == .outOfRange)
    let cancelled = Task { try await remote.waitForEntry(past: 2) }
    cancelled.cancel()
    try await cancelled.value
    for (method, target, status) in [
      (.GET, "/v1/log/views?from=x", 400), (.POST, "/v1/log/views", 400), (.POST, "/v1/log/views/wait", 400),
      (.GET, "/v1/log/views/wait", 405),
    ] as [(HTTPMethod, String, Int)] {
      let answer = try await client.send(WireRequest(method, target), to: peer, within: .seconds(10))
      #expect(answer.status == status, "\(target)")
    }
    await server.shutDown()
    await client.close()
    await record.close()
    await log.close()
  }
}
