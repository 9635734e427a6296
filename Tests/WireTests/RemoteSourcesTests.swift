import Events
import LogTestSupport
import Serving
import TestSupport
import Testing
import Views

@testable import Wire

/// An instance: what it knows of the sources of its partitions.
private struct Instance: SourceStore, ViewStore {
  var asOf: OffsetVector
  var known: [SourceStatus]

  nonisolated(nonsending) func sources(_ request: SourceReadRequest) async throws(ViewStoreError) -> SourceReadResult {
    var first = FirstSources(request)
    for one in known { first.add(one) }
    let (sources, next) = first.finish()
    return SourceReadResult(asOf: asOf, sources: sources, next: next)
  }

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { [] }
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    throw .unknownView(request.view, known: [])
  }
}

@Suite("Remote sources", .timeLimit(.minutes(2)))
struct RemoteSourcesTests {
  private static func source(_ number: Int, _ partition: Int, events: Int) -> SourceStatus {
    SourceStatus(
      source: UTF8Text("caf\u{E9}/\(number)"), partition: PartitionID(partition),
      last: number.isMultiple(of: 3) ? nil : ProducerPosition(epoch: .max, sequence: .max - UInt64(number)),
      largestEventTime: Timestamp(nanoseconds: .max - Int64(number)), eventTime: Timestamp(nanoseconds: .min + Int64(number % 7)),
      lastAppendTime: Timestamp(nanoseconds: Int64(number) * 1_000_000_007), events: events)
  }

  private static func withRemote(_ instances: [Instance], _ body: (RemoteViewStore) async throws -> Void) async throws {
    var servers: [WireServer] = [], addresses: [LoopbackDialler.Instance] = []
    for (index, instance) in instances.enumerated() {
      let server = WireServer(
        name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group,
        routes: ComputeRoutes(store: instance, sources: instance),
        probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
      addresses.append(.init(id: "instance-\(index)", port: try #require(try await server.start()?.port)))
      servers.append(server)
    }
    let client = WireClient(dialler: LoopbackDialler(service: "compute", addresses), group: ServedLog.group)
    try await body(RemoteViewStore(client: client, partitionCount: 4, logger: quiet))
    for server in servers { await server.shutDown() }
    await client.close()
  }

  private static func pages(_ remote: RemoteViewStore, _ request: SourceReadRequest) async throws -> [SourceStatus] {
    var request = request
    var listed: [SourceStatus] = []
    for _ in 0..<1000 {
      let page = try await remote.sources(request)
      listed += page.sources
      guard let next = page.next else { return listed }
      request.after = next
    }
    Issue.record("the pages do not end")
    return listed
  }

  @Test("the sources of all instances are one list, whatever its order and the length of its pages; nothing of them is lost on the way")
  func oneList() async throws {
    let all = (0..<120).map { Self.source($0, $0 % 4, events: $0 % 11) }
    let shares: [[Int]] = [[0, 3], [1], [2]]
    let instances = shares.map { share in
      Instance(
        asOf: OffsetVector(Dictionary(uniqueKeysWithValues: share.map { (PartitionID($0), Offset(100)) })),
        known: all.filter { share.contains($0.partition.index) }.shuffled())
    }
    try await Self.withRemote(instances) { remote in
      for column in SourceOrder.Column.allCases {
        for isDescending in [false, true] {
          let order = SourceOrder(column, isDescending: isDescending)
          let expected = all.sorted { order.isBefore(order.place(of: $0), order.place(of: $1)) }
          for limit in [7, 1000] { #expect(try await Self.pages(remote, SourceReadRequest(order: order, limit: limit)) == expected) }
        }
      }
      let one = try await remote.sources(SourceReadRequest(source: "caf\u{E9}/7", limit: 5))
      #expect(one.sources == [all[7]] && one.next == nil && one.asOf.offsets.count == 4)
      #expect(try await remote.sources(SourceReadRequest(source: "cafe\u{301}/7", limit: 5)).sources == [])
      let idle = SourceReadRequest(
        prefix: "caf\u{E9}/1", lastAppendedBy: Timestamp(nanoseconds: 20_000_000_000), isAheadOnly: true, limit: 1000)
      #expect(try await remote.sources(idle).sources.map(\.source.string) == ["caf\u{E9}/1"] + (10...19).map { "caf\u{E9}/\($0)" })
    }
  }

  @Test("while a partition passes on, the instance further on counts, and a list by changing values has no gap")
  func passing() async throws {
    // The former owner of partition 0 has counted less of its sources than the new one.
    let ofZero = (0..<20).map { Self.source($0, 0, events: $0) }
    let moved = ofZero.map { source in
      var source = source
      source.events += 50
      return source
    }
    let others = (20..<60).map { Self.source($0, 1 + $0 % 3, events: $0) }
    let former = Instance(
      asOf: OffsetVector([PartitionID(0): Offset(10), PartitionID(1): Offset(5), PartitionID(2): Offset(5), PartitionID(3): Offset(5)]), known: ofZero + others)
    try await Self.withRemote([former, Instance(asOf: OffsetVector([PartitionID(0): Offset(90)]), known: moved)]) { remote in
      for limit in [1, 3, 19, 1000] {
        let order = SourceOrder(.events)
        let listed = try await Self.pages(remote, SourceReadRequest(order: order, limit: limit))
        #expect(listed == (others + moved).sorted { order.isBefore(order.place(of: $0), order.place(of: $1)) })
      }
      #expect(try await remote.sources(SourceReadRequest(limit: 1)).asOf[PartitionID(0)] == Offset(90))
    }
  }

  @Test("a partition that no instance answers for is named, unless those that are there are enough")
  func missing() async throws {
    let some = Instance(asOf: OffsetVector([PartitionID(0): Offset(1), PartitionID(2): Offset(1)]), known: [Self.source(1, 2, events: 1)])
    try await Self.withRemote([some]) { remote in
      do throws(ViewStoreError) {
        _ = try await remote.sources(SourceReadRequest(limit: 1))
        Issue.record("answered without two partitions")
      } catch {
        #expect(error == .missingPartitions([PartitionID(1), PartitionID(3)]))
      }
      let rest = try await remote.sources(SourceReadRequest(limit: 9, allowsPartial: true))
      #expect(rest.sources.count == 1 && rest.asOf.offsets.count == 2)
    }
  }
}
