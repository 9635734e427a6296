import Compute
import Events
import Expressions
import LogTestSupport
import Serving
import TestSupport
import Testing
import Views

@testable import Log
@testable import Wire

@Suite("Retention over instances")
struct RemoteRetentionTests {
  private static let views = """
    views:
      v:
        key: {site: data.site}
        window: { tumble: 10m }
        retention: 1h
        aggregates: { n: count() }
    """

  private func compute(
    _ directory: String, _ log: SegmentedLog, _ partitions: Set<PartitionID>
  ) async throws -> (compute: ComputeService, server: WireServer, port: Int) {
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(directory: directory, workers: 1, checkpointInterval: .milliseconds(10)),
      catalog: ViewCatalog(yaml: Self.views, file: "test"), log: log, partitions: partitions, logger: quiet)
    compute.start()
    let server = WireServer(
      name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group, routes: ComputeRoutes(store: compute.reads),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    return (compute, server, try #require(try await server.start()?.port))
  }

  @Test("a row of two instances is there whole until both have passed, and then both drop their parts")
  func wholeOrNot() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 2
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    let sources = (0..<2).map { wanted in
      (0..<100).lazy.map { "device/\($0)" }.first { log.partition(of: $0).index == wanted } ?? ""
    }
    let first = try await compute(directory.path + "/a", log, [PartitionID(0)])
    let second = try await compute(directory.path + "/b", log, [PartitionID(1)])
    let dialler = LoopbackDialler(service: "compute", [.init(id: "a", port: first.port), .init(id: "b", port: second.port)])
    let client = WireClient(dialler: dialler, group: ServedLog.group)
    let remote = RemoteViewStore(client: client, partitionCount: 2, logger: quiet)
    var end = OffsetVector()
    func append(_ partition: Int, minute: Int64, count: Int = 1) async throws {
      let events = (0..<count).map { _ in
        Event(
          source: sources[partition], type: "t", time: Timestamp(nanoseconds: minute * 60_000_000_000),
          data: ["site": .string("ams")])
      }
      end[PartitionID(partition)] =
        try await log.append(ColumnBatch(events: events, partition: PartitionID(partition))).endOffset
    }
    func counts() async throws -> [ResultValue] {
      let read = try await remote.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
      let rows = read.rows.retained(for: read.definition, after: read.expiredEnd)
      return (0..<rows.count).map { row in rows.withState(row) { read.definition.layout.value(of: 0, in: $0) } }
    }
    try await append(0, minute: 1, count: 100)
    try await append(1, minute: 2)
    #expect(try await counts() == [.int(101)])
    try await append(1, minute: 300)
    _ = try await remote.views()
    #expect(try await counts() == [.int(101), .int(1)])
    try await append(0, minute: 300)
    #expect(try await counts() == [.int(2)])
    // Whoever asks all for their views tells each how far the slowest is; parts go with the next checkpoint that there is.
    let deadline = ContinuousClock.now + .seconds(60)
    var minute: Int64 = 300
    while try await remote.tallies().flatMap(\.partitions).reduce(0, { $0 + $1.dropped }) < 101, ContinuousClock.now < deadline {
      _ = try await remote.views()
      minute += 1
      for partition in 0..<2 { try await append(partition, minute: minute) }
      _ = try await counts()
    }
    let tallies = try await remote.tallies()
    #expect(tallies.count == 1 && tallies[0].partitions.count == 2 && tallies[0].partitions.allSatisfy { $0.isBalanced })
    #expect(tallies[0].partitions.map(\.dropped) == [100, 1])
    await client.close()
    for one in [first, second] {
      await one.server.shutDown()
      await one.compute.shutDown()
    }
    await log.close()
  }
}
