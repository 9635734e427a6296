import Compute
import Events
import LogTestSupport
import Serving
import TestSupport
import Testing
import Views

@testable import Log
@testable import Wire

/// Notes which partitions it was asked for; fails in a way of its own where it has one.
private actor Instance: AdHocStore {
  let store: AdHocAggregation
  var failure: AdHocError?
  var asked: [Set<PartitionID>] = []

  init(_ store: AdHocAggregation, failure: AdHocError? = nil) {
    self.store = store
    self.failure = failure
  }

  func note(_ partitions: Set<PartitionID>?) { asked.append(partitions ?? []) }

  nonisolated(nonsending) func aggregate(_ request: AdHocRequest) async throws(AdHocError) -> PartialResult {
    await note(request.partitions)
    if let failure = await failure { throw failure }
    return try await store.aggregate(request)
  }
}

private struct NoStore: ViewStore {
  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { [] }
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    throw .unavailable("none here")
  }
}

@Suite("Aggregations computed once, by several instances") struct RemoteAdHocTests {
  private func definition() throws -> ViewDefinition {
    let catalog = try ViewCatalog(
      yaml: """
        views:
          once:
            where: data.value > 1
            key: [source]
            window: { tumble: 1m }
            allowed_lateness: 3650d
            retention: 3650d
            aggregates: { n: count(), total: sum(data.value), middle: "quantile(data.value, 0.5)" }
        """, file: "test.yaml")
    return try #require(catalog["once"])
  }

  private func log(_ directory: TemporaryDirectory) async throws -> SegmentedLog {
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 5
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    for number in 0..<40 {
      let source = "station/\(number)"
      let partition = log.partition(of: source)
      let events = (0..<10).map { at in
        Event(
          source: source, type: "t", time: Timestamp(nanoseconds: Int64(at) * 30_000_000_000),
          data: ["value": .int(Int64(at * number))])
      }
      _ = try await log.append(ColumnBatch(events: events, partition: partition))
    }
    return log
  }

  private func served(_ instance: Instance) async throws -> (server: WireServer, port: Int) {
    let server = WireServer(
      name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group,
      routes: ComputeRoutes(store: NoStore(), adHoc: instance),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    return (server, try #require(try await server.start()?.port))
  }

  private func request(_ definition: ViewDefinition, rowsMax: Int = 10_000) -> AdHocRequest {
    AdHocRequest(
      definition: definition, from: Timestamp(nanoseconds: 30_000_000_000), to: Timestamp(nanoseconds: 240_000_000_000),
      timeout: .seconds(30), rowsMax: rowsMax)
  }

  @Test(
    "each folds a share of the partitions, and together they say what one says; one that is gone leaves its share to the others")
  func shares() async throws {
    let directory = try TemporaryDirectory()
    let log = try await log(directory)
    let near = AdHocAggregation(log: log, threads: 2, ComputeConfiguration(directory: ""))
    let (a, b) = (Instance(near), Instance(AdHocAggregation(log: log, threads: 1, ComputeConfiguration(directory: ""))))
    let (first, second) = (try await served(a), try await served(b))
    let dialler = LoopbackDialler(service: "compute", [.init(id: "a", port: first.port), .init(id: "b", port: second.port)])
    let client = WireClient(dialler: dialler, group: ServedLog.group)
    let remote = RemoteAdHocStore(client: client, partitionCount: 5, logger: quiet)
    let definition = try definition()
    let expected = try await near.aggregate(request(definition))
    func check(_ result: PartialResult) {
      #expect(result.asOf == expected.asOf && result.eventTimeWatermarks == expected.eventTimeWatermarks)
      let layout = definition.layout
      let (one, other) = (result.rows.merged(layout: layout), expected.rows.merged(layout: layout))
      #expect(one.states == other.states && one.keyBytes == other.keyBytes && one.windowStarts == other.windowStarts)
      #expect(one.count > 0)
    }
    check(try await remote.aggregate(request(definition)))
    let shares = await (a.asked, b.asked)
    #expect(shares.0 == [[PartitionID(0), PartitionID(2), PartitionID(4)]] && shares.1 == [[PartitionID(1), PartitionID(3)]])
    let few = request(definition, rowsMax: expected.rows.count - 1)
    await #expect(throws: AdHocError.tooLarge(rowsMax: few.rowsMax)) { try await remote.aggregate(few) }

    await first.server.shutDown(timeout: .seconds(1))
    check(try await remote.aggregate(request(definition)))
    #expect(await b.asked.suffix(2).reduce(into: Set()) { $0.formUnion($1) }.count == 5)
    await second.server.shutDown(timeout: .seconds(1))
    await #expect { try await remote.aggregate(request(definition)) } throws: {
      if case .unavailable? = $0 as? AdHocError { true } else { false }
    }
    await client.close()
    await log.close()
  }

  @Test(
    "why there is no answer is what the instance says",
    arguments: [
      AdHocError.timeout, .tooLarge(rowsMax: 10_000), .log(LogError(.corrupt, partition: PartitionID(1), "why")),
      .unavailable("2 run already"),
    ])
  func failures(_ failure: AdHocError) async throws {
    let directory = try TemporaryDirectory()
    let log = try await log(directory)
    let served = try await served(Instance(AdHocAggregation(log: log, threads: 1, ComputeConfiguration(directory: "")), failure: failure))
    let client = WireClient(
      dialler: LoopbackDialler(service: "compute", [.init(id: "a", port: served.port)]), group: ServedLog.group)
    let remote = RemoteAdHocStore(client: client, partitionCount: 5, logger: quiet)
    let request = request(try definition())
    await #expect(throws: failure) { try await remote.aggregate(request) }
    await served.server.shutDown(timeout: .seconds(1))
    await client.close()
    await log.close()
  }
}
