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

/// Answers for some of another store's partitions.
private struct SomePartitions: ViewStore {
  let store: any ViewStore
  let partitions: Set<PartitionID>

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    var views = try await store.views()
    for index in views.indices { views[index].partitions.removeAll { !partitions.contains($0.partition) } }
    return views
  }

  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    let all = try await store.read(request)
    var some = all
    some.asOf.offsets = all.asOf.offsets.filter { partitions.contains($0.key) }
    some.eventTimeWatermarks = all.eventTimeWatermarks.filter { partitions.contains($0.key) }
    some.slowestSources = [:]
    for partition in partitions where all.asOf[partition] != nil {
      some.slowestSources[partition] = Timestamp(nanoseconds: Int64(partition.index) - 2)
    }
    some.rows = PartialRows(stride: all.rows.stride)
    some.rows.append(all.rows, where: { partitions.contains($0) })
    some.rows.fillSourceWatermarks(of: some.definition) { Int64(truncatingIfNeeded: stableHash($0)) }
    return some
  }
}

/// Never answers.
private struct Halting: ViewStore {
  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { [] }
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    try? await Task.sleep(for: .seconds(3600))
    throw .unavailable("cancelled")
  }
}

/// Has half of the partitions at first, then all.
private actor Moving: ViewStore {
  private let store: any ViewStore
  private let all: Set<PartitionID>
  private var reads = 0

  init(store: any ViewStore, all: Set<PartitionID>) {
    self.store = store
    self.all = all
  }

  private func next() -> Set<PartitionID> {
    reads += 1
    return reads == 1 ? all.filter { $0.index < 2 } : all
  }

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { try await store.views() }
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    try await SomePartitions(store: store, partitions: await next()).read(request)
  }
}

private let catalogText = """
  views:
    by_source:
      where: type == "t" && data.value != null
      key: { who: source, "kind": type }
      window: { tumble: 1m }
      watermark_delay: 1s
      allowed_lateness: 1h30m
      retention: 400d
      aggregates: { n: count(), total: sum(data.value * 2), least: min(data.value), mean: avg(data.value) }
    all:
      window: { tumble: 1h }
      aggregates: { n: count() }
  """

@Suite("Remote views")
struct RemoteViewStoreTests {
  /// A log of four partitions with views of it, counted to the end.
  private func counted(_ directory: TemporaryDirectory) async throws -> (
    log: SegmentedLog, compute: ComputeService, offsets: OffsetVector
  ) {
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 4
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(directory: directory.path + "/compute", workers: 2),
      catalog: ViewCatalog(yaml: catalogText, file: "test"), log: log, logger: quiet)
    compute.start()
    var offsets = OffsetVector()
    for number in 0..<40 {
      let source = "station/\(number)"
      let partition = log.partition(of: source)
      let events = (0..<10).map { at in
        Event(
          source: source, type: "t", id: nil, time: Timestamp(nanoseconds: Int64(at) * 30_000_000_000), sequence: UInt64(at),
          epoch: nil,
          attributes: [:], data: ["value": .int(Int64(at * number))])
      }
      offsets[partition] = try await log.append(ColumnBatch(events: events, partition: partition)).endOffset
    }
    return (log, compute, offsets)
  }

  private func server(_ store: any ViewStore) async throws -> (server: WireServer, port: Int) {
    let server = WireServer(
      name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group, routes: ComputeRoutes(store: store),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    return (server, try #require(try await server.start()?.port))
  }

  @Test("two instances together say what one process says; with one gone the partitions are named, or missing on request")
  func fanOut() async throws {
    let directory = try TemporaryDirectory()
    let (log, compute, offsets) = try await counted(directory)
    let first = try await server(
      SomePartitions(store: compute.reads, partitions: [PartitionID(0), PartitionID(1), PartitionID(3)]))
    // Partition 1 is handed over just now: both answer for it, and it counts once.
    let second = try await server(SomePartitions(store: compute.reads, partitions: [PartitionID(1), PartitionID(2)]))
    let dialler = LoopbackDialler(service: "compute", [.init(id: "a", port: first.port), .init(id: "b", port: second.port)])
    let client = WireClient(dialler: dialler, group: ServedLog.group)
    let remote = RemoteViewStore(client: client, partitionCount: 4, logger: quiet)
    let whole = SomePartitions(store: compute.reads, partitions: Set((0..<4).map { PartitionID($0) }))
    for view in ["by_source", "all"] {
      var request = ViewReadRequest(view: view, after: offsets)
      let near = try await whole.read(request), far = try await remote.read(request)
      #expect(far.definition == near.definition && far.asOf == near.asOf && far.eventTimeWatermarks == near.eventTimeWatermarks)
      #expect(near.slowestSources.count == 4 && far.slowestSources == near.slowestSources)
      #expect(far.rows.sourceWatermarks.count == (view == "all" ? 0 : far.rows.count))
      #expect(far.missing.isEmpty && far.rows.count == near.rows.count)
      let layout = near.definition.layout
      let (a, b) = (near.rows.merged(layout: layout), far.rows.merged(layout: layout))
      #expect(a.states == b.states && a.keyBytes == b.keyBytes && a.windowStarts == b.windowStarts && a.keyEnds == b.keyEnds)
      #expect(a.sourceWatermarks == b.sourceWatermarks)
      let missing = RemoteViewStore(client: client, partitionCount: 5, logger: quiet)
      await #expect(throws: ViewStoreError.missingPartitions([PartitionID(4)])) { try await missing.read(request) }
      request.allowsPartial = true
      #expect(try await missing.read(request).missing == [PartitionID(4)])
    }
    #expect(try await remote.views().map(\.offsets) == compute.reads.views().map(\.offsets))
    #expect(try await remote.views().map(\.definition) == compute.reads.views().map(\.definition))
    #expect(await remote.problem() == nil)
    await #expect(throws: ViewStoreError.unknownView("none", known: ["by_source", "all"])) {
      try await remote.read(ViewReadRequest(view: "none"))
    }
    await second.server.shutDown()
    await #expect(throws: ViewStoreError.missingPartitions([PartitionID(2)])) {
      try await remote.read(ViewReadRequest(view: "all"))
    }
    let partial = try await remote.read(ViewReadRequest(view: "all", allowsPartial: true))
    #expect(partial.missing == [PartitionID(2)] && partial.asOf[PartitionID(2)] == nil)
    await first.server.shutDown()
    await client.close()
    await compute.shutDown()
    await log.close()
  }

  @Test("an instance that halts is waited for until it is none any more; a partition that has just moved is looked for twice")
  func halted() async throws {
    let directory = try TemporaryDirectory()
    let (log, compute, _) = try await counted(directory)
    let all = Set((0..<4).map { PartitionID($0) })
    let halting = try await server(Halting())
    let moving = try await server(Moving(store: compute.reads, all: all))
    let dialler = LoopbackDialler(service: "compute", [.init(id: "a", port: halting.port), .init(id: "b", port: moving.port)])
    let client = WireClient(dialler: dialler, group: ServedLog.group)
    let remote = RemoteViewStore(client: client, partitionCount: 4, logger: quiet)
    let start = ContinuousClock.now
    let leaving = Task {
      try await Task.sleep(for: .milliseconds(1200))
      dialler.set([.init(id: "b", port: moving.port)])
    }
    let result = try await remote.read(ViewReadRequest(view: "all", timeout: .seconds(60)))
    #expect(Set(result.asOf.offsets.keys) == all && result.missing.isEmpty)
    #expect(ContinuousClock.now - start < .seconds(20))
    try await leaving.value
    await client.close()
    await halting.server.shutDown(timeout: .milliseconds(100))
    await moving.server.shutDown(timeout: .seconds(1))
    await compute.shutDown()
    await log.close()
  }

  @Test("a body that was cut or changed anywhere is refused, or reads as rows of the view")
  func hostileRows() async throws {
    let directory = try TemporaryDirectory()
    let (log, compute, offsets) = try await counted(directory)
    let partitions = Set((0..<4).map { PartitionID($0) })
    let result = try await SomePartitions(store: compute.reads, partitions: partitions).read(
      ViewReadRequest(view: "by_source", to: Timestamp(nanoseconds: 60_000_000_000), after: offsets))
    let body = RowsCoding.encode(result)
    func read(_ text: String) -> ViewDefinition? { text == result.definition.yaml ? result.definition : nil }
    let same = try #require(RowsCoding.decode(body, definition: read))
    #expect(same.rows.states == result.rows.states && same.slowestSources == result.slowestSources)
    #expect(same.rows.sourceWatermarks == result.rows.sourceWatermarks && same.rows.sourceWatermarks.count == same.rows.count)
    for length in 0..<body.readableBytes {
      #expect(
        RowsCoding.decode(body.getSlice(at: 0, length: length) ?? ByteBuffer(), definition: read) == nil, "cut at \(length)")
    }
    var random = SeededGenerator(seed: 11)
    for round in 0..<2000 {
      var changed = body
      let at = Int.random(in: 0..<body.readableBytes, using: &random)
      changed.setInteger(UInt8.random(in: 0...255, using: &random), at: at)
      guard let rows = RowsCoding.decode(changed, definition: read)?.rows else { continue }
      #expect(rows.sourceWatermarks.isEmpty || rows.sourceWatermarks.count == rows.count, "round \(round), byte \(at)")
      for row in 0..<rows.count { #expect(rows.keys(row).count == 2, "round \(round), byte \(at)") }
    }
    await compute.shutDown()
    await log.close()
  }

  @Test("rows of a view whose partitions' times close windows are refused when they come with their sources' times")
  func unwantedSources() throws {
    let view = try #require(try ViewCatalog(yaml: catalogText, file: "test")["by_source"])
    let text = view.yaml.replacing("watermark: source", with: "watermark: partition")
    let partition = try #require(try ViewCatalog(yaml: text, file: "f").views.first)
    var rows = PartialRows(stride: view.layout.stride)
    KeyCodec.encode([.string("a"), .string("t")]).withUnsafeBytes { key in
      rows.append(partition: PartitionID(0), windowStart: 0, windowEnd: 1, key: key, sourceWatermark: 5) {
        $0 += Array(repeating: 0, count: view.layout.stride)
      }
    }
    for (definition, isRead) in [(view, true), (partition, false)] {
      let result = PartialResult(
        definition: definition, generation: 1, asOf: OffsetVector([PartitionID(0): Offset(1)]), eventTimeWatermarks: [:],
        rows: rows)
      #expect((RowsCoding.decode(RowsCoding.encode(result)) { _ in definition } != nil) == isRead)
    }
  }

  @Test("late events go over the wire with the reason, the progress of partitions with the amended events")
  func lateAndAmended() throws {
    let events = LateReason.allCases.enumerated().map { number, reason in
      LateEvent(
        partition: PartitionID(number), offset: Offset(Int64(number)), time: Timestamp(nanoseconds: 7),
        windowStart: Timestamp(nanoseconds: 5), reason: reason)
    }
    let late = LateReadResult(
      generation: 2, asOf: OffsetVector([PartitionID(0): Offset(9)]), events: events,
      counts: [PartitionID(0): LateCounts(counted: 3, listed: 2)])
    let read = try #require(LateReadResult(json: JSONValue(parsing: late.json.text)))
    #expect(read.events == events && read.counts == late.counts && read.asOf == late.asOf)
    let other = late.json.text.replacing("expired", with: "lost")
    #expect(try LateReadResult(json: JSONValue(parsing: other)) == nil)
    var progress = PartitionProgress(partition: PartitionID(3), nextOffset: Offset(9), highWatermark: Offset(9), applied: 8, late: 1)
    progress.amended = 5
    #expect(PartitionProgress(json: progress.json) == progress)
  }

  @Test("a definition goes through its YAML unchanged")
  func definitions() throws {
    for view in try ViewCatalog(yaml: catalogText, file: "test").views {
      let again = try #require(try ViewCatalog(yaml: view.yaml, file: "again").views.first)
      #expect(again == view && again.generationHash == view.generationHash)
    }
  }
}
