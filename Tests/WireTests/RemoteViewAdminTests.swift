import Compute
import Events
import LogTestSupport
import NIOCore
import Serving
import TestSupport
import Testing
import Views

@testable import Log
@testable import Wire

/// Several compute instances over one log, each with a data folder of its own, and what the query process has in place of them.
private struct Instances {
  static let views = views(.partition)

  static func views(_ watermark: WatermarkScope) -> String {
    """
    views:
      by_source:
        key: [source]
        window: { tumble: 1m }
        watermark: \(watermark.rawValue)
        watermark_delay: 0s
        allowed_lateness: 0s
        aggregates: { n: count(), total: sum(data.value) }
    """
  }

  let directory: TemporaryDirectory
  let log: SegmentedLog
  let record = AwayRecord()
  let dialler = LoopbackDialler(service: "compute", [])
  let client: WireClient
  let store: RemoteViewStore
  let admin: RemoteViewAdmin
  private let views: String
  private(set) var all: [(id: String, compute: ComputeService, server: WireServer, port: Int)] = []

  init(partitions: Int = 4, views: String = Instances.views) async throws {
    self.views = views
    directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = partitions
    configuration.sync = .never
    log = try await SegmentedLog.open(configuration, logger: quiet)
    client = WireClient(dialler: dialler, group: ServedLog.group)
    store = RemoteViewStore(client: client, partitionCount: partitions, logger: quiet)
    admin = RemoteViewAdmin(store)
  }

  /// - Parameter alone: Owns all by itself, unseen by the others.
  func compute(_ id: String, _ partitions: [Int], alone: Bool = false) async throws -> ComputeService {
    try await ComputeService(
      configuration: ComputeConfiguration(
        directory: "\(directory.path)/instances/\(id)/compute", workers: 2, checkpointInterval: .milliseconds(20),
        neighbours: directory.path + "/instances"),
      catalog: ViewCatalog(yaml: views, file: "test"), log: log, partitions: Set(partitions.map { PartitionID($0) }),
      record: alone ? VolatileViewsRecord() : record, sharesPartitions: !alone, logger: quiet)
  }

  @discardableResult
  mutating func start(_ id: String, _ partitions: [Int]) async throws -> ComputeService {
    let compute = try await compute(id, partitions)
    compute.start()
    let server = WireServer(
      name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group,
      routes: ComputeRoutes(
        store: compute.reads, late: compute.reads, admin: compute.generations,
        generationsVersion: { compute.generations.version }),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    let port = try #require(try await server.start()?.port)
    all.append((id, compute, server, port))
    dialler.set(all.map { .init(id: $0.id, port: $0.port) })
    return compute
  }

  /// Sources' events in turn, so that each partition has late ones.
  /// - Parameter first: The sequence of each source's first event.
  func append(_ numbers: Range<Int>, first: UInt64 = 0) async throws -> OffsetVector {
    var offsets = OffsetVector()
    for number in numbers {
      let source = "station/\(number)"
      let partition = log.partition(of: source)
      let events = (0..<10).map { at in
        Event(
          source: source, type: "t", id: nil, time: Timestamp(nanoseconds: Int64(at) * 30_000_000_000), sequence: first + UInt64(at),
          epoch: nil, attributes: [:], data: ["value": .int(Int64(at * number))])
      }
      offsets[partition] = try await log.append(ColumnBatch(events: events, partition: partition)).endOffset
    }
    return offsets
  }

  func state(of generation: Int) async -> GenerationState? {
    (try? await admin.generations(of: "by_source"))?.first { $0.generation == generation }?.state
  }

  func stop() async {
    for one in all {
      await one.server.shutDown()
      await one.compute.shutDown()
    }
    await client.close()
    await log.close()
  }
}

@Suite("Views of several compute instances", .timeLimit(.minutes(3)))
struct RemoteViewAdminTests {
  @Test("replayed, compared, promoted and rolled back as one, and late events listed as one")
  func asOne() async throws {
    var instances = try await Instances()
    let offsets = try await instances.append(0..<40)
    try await instances.start("a", [0, 1])
    try await instances.start("b", [2, 3])
    let (store, admin) = (instances.store, instances.admin)
    let alone = try await instances.compute("alone", [0, 1, 2, 3], alone: true)
    alone.start()
    let near = try await alone.reads.read(ViewReadRequest(view: "by_source", after: offsets, timeout: .seconds(60)))
    _ = try await store.read(ViewReadRequest(view: "by_source", after: offsets, timeout: .seconds(60)))

    let estimate = try await admin.estimate(ReplayRequest(view: "by_source"))
    #expect(estimate.events == 400 && estimate.to == offsets)
    let replay = try await admin.replay(ReplayRequest(view: "by_source"))
    #expect(replay.generation == 2)
    #expect(await eventually { await instances.state(of: 2) == .held })
    #expect(try await admin.generations(of: "by_source").map(\.partitions.count) == [4, 4])

    let pair = try await admin.pinned(PinnedRequest(view: "by_source", first: 1, second: 2))
    #expect(pair.first.asOf == offsets && pair.first.rows.count == near.rows.count)
    #expect(RowDifferences(pair, rowsMax: 0).isSame)
    let report = try await admin.verify("by_source", generation: 2, timeout: .seconds(60))
    #expect(report.isSame && report.partitions.map(\.partition.index) == [0, 1, 2, 3] && report.asOf == offsets)

    // Every instance has followed when a change is answered: what is read next is of the new generation.
    #expect(try await admin.promote(PromoteRequest(view: "by_source", changesMax: 0)).state == .live)
    #expect(try await store.read(ViewReadRequest(view: "by_source")).generation == 2)
    #expect(try await store.views().map(\.generation) == [2])
    #expect(try await admin.rollback("by_source").generation == 1)
    #expect(try await store.read(ViewReadRequest(view: "by_source")).generation == 1)
    #expect(try await admin.drop("by_source", generation: 2).state == .dropped)

    let past = OffsetVector(offsets.offsets.mapValues { Offset($0.rawValue / 2) })
    let then = try await store.read(ViewReadRequest(view: "by_source", timeout: .seconds(60), asOf: past))
    let thenAlone = try await alone.reads.read(ViewReadRequest(view: "by_source", timeout: .seconds(60), asOf: past))
    #expect(then.asOf == past && then.rows.count == thenAlone.rows.count && !then.rows.windowStarts.isEmpty)

    let late = try await alone.reads.late(LateReadRequest(view: "by_source", limit: 1000))
    #expect(!late.events.isEmpty)
    #expect(try await store.late(LateReadRequest(view: "by_source", limit: 1000)).events == late.events)
    // Page by page, across instances.
    var paged: [LateEvent] = []
    var request = LateReadRequest(view: "by_source", limit: 7)
    while case let page = try await store.late(request).events, let last = page.last {
      paged += page
      request.partition = last.partition
      request.offset = last.offset.advanced(by: 1)
    }
    #expect(paged == late.events)

    await #expect(throws: ViewStoreError.unknownView("none", known: ["by_source"])) { try await admin.generations(of: "none") }
    await #expect {
      _ = try await admin.promote(PromoteRequest(view: "by_source"))
    } throws: { error in
      if case .refused(code: "nothing_to_promote", _)? = error as? ViewStoreError { true } else { false }
    }
    await alone.shutDown()
    await instances.stop()
  }

  @Test("a generation takes over only when it has caught up in every partition, whoever owns it by then")
  func takeover() async throws {
    var instances = try await Instances()
    _ = try await instances.append(0..<40)
    let a = try await instances.start("a", [0, 1])
    let b = try await instances.start("b", [2])
    // Nobody owns partition 3.
    #expect(try await instances.admin.replay(ReplayRequest(view: "by_source", promotes: true)).state == .building)
    await #expect(throws: ViewStoreError.missingPartitions([PartitionID(3)])) {
      try await instances.store.read(ViewReadRequest(view: "by_source"))
    }
    #expect(
      await eventually {
        let status = (try? await instances.admin.generations(of: "by_source"))?.last
        return status?.partitions.count == 3 && status?.eventsDone == status?.eventsTotal
      })
    #expect(await instances.state(of: 2) == .building)
    // Partition 2 moves, and 3 finds an owner.
    await b.partitions.release([PartitionID(2)])
    try await a.own([PartitionID(2), PartitionID(3)])
    await a.generations.settleAnew([PartitionID(2), PartitionID(3)])
    #expect(await eventually { await instances.state(of: 2) == .live })
    #expect(try await instances.store.read(ViewReadRequest(view: "by_source")).asOf.offsets.count == 4)
    await instances.stop()
  }

  @Test(
    "who takes a partition over begins where its last owner's checkpoint on this machine is, with what is known of its sources",
    arguments: WatermarkScope.allCases)
  func checkpointOfNeighbour(watermark: WatermarkScope) async throws {
    var instances = try await Instances(views: Instances.views(watermark))
    let offsets = try await instances.append(0..<40)
    let a = try await instances.start("a", [0, 1, 2, 3])
    _ = try await a.reads.read(ViewReadRequest(view: "by_source", after: offsets, timeout: .seconds(60)))
    await a.partitions.release([PartitionID(1), PartitionID(2)])
    // Not started: it reads no events, so what it has is from the checkpoint.
    let heir = try await instances.compute("heir", [1, 2])
    let progress = try await heir.reads.views()[0].partitions
    #expect(progress.map(\.partition.index) == [1, 2])
    #expect(progress.allSatisfy { $0.nextOffset == offsets[$0.partition] && $0.applied > 0 })
    let late = try await heir.reads.late(LateReadRequest(view: "by_source", limit: 1000)).events.count
    #expect(late == progress.reduce(0) { $0 + $1.late } && (late > 0) == (watermark == .partition))
    #expect(try await heir.generations.verify("by_source", generation: nil, timeout: .seconds(60)).isSame)
    // Sources that send their first times again are behind what the last owner knew of them.
    heir.start()
    let here = Set(progress.map(\.partition))
    let more = try await instances.append(0..<40, first: 10)
    let read = ViewReadRequest(view: "by_source", after: more, timeout: .seconds(60), partitions: here)
    _ = try await heir.reads.read(read)
    let sources = (0..<40).count { here.contains(instances.log.partition(of: "station/\($0)")) }
    let lateNow = try await heir.reads.views()[0].partitions.reduce(0) { $0 + $1.late }
    #expect(lateNow - late == 8 * sources)
    #expect(try await heir.generations.verify("by_source", generation: nil, timeout: .seconds(60)).isSame)
    await heir.shutDown()
    await instances.stop()
  }

  @Test("with the record of views away nothing changes and reads go on; who comes later learns of all from it")
  func recordAway() async throws {
    var instances = try await Instances()
    let offsets = try await instances.append(0..<40)
    try await instances.start("a", [0, 1, 2, 3])
    _ = try await instances.admin.replay(ReplayRequest(view: "by_source"))
    #expect(await eventually { await instances.state(of: 2) == .held })

    instances.record.set(away: true)
    await #expect {
      _ = try await instances.admin.promote(PromoteRequest(view: "by_source"))
    } throws: { error in
      if case .unavailable? = error as? ViewStoreError { true } else { false }
    }
    #expect(
      try await instances.store.read(ViewReadRequest(view: "by_source", after: offsets, timeout: .seconds(60))).generation == 1)
    instances.record.set(away: false)
    try await instances.start("b", [])
    #expect(try await instances.admin.generations(of: "by_source").map(\.generation) == [1, 2])
    #expect(try await instances.admin.promote(PromoteRequest(view: "by_source")).generation == 2)
    #expect(try await instances.store.read(ViewReadRequest(view: "by_source")).generation == 2)
    // A removal is every instance's.
    let removal = try await instances.admin.remove("by_source", purgeAfter: 3_600_000_000_000)
    #expect(removal.generations == [1, 2] && removal.isConfigured)
    #expect(await eventually { (try? await instances.store.views())?.isEmpty == true })
    let back = try await instances.admin.apply(try ViewCatalog(yaml: Instances.views, file: "test"), hold: false)
    #expect(back == [AppliedView(view: "by_source", generation: 2, action: .restored)])
    #expect(
      try await instances.store.read(ViewReadRequest(view: "by_source", after: offsets, timeout: .seconds(60))).generation == 2)
    await instances.stop()
  }
}
