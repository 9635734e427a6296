import Compute
import Events
import Log
import LogTestSupport
import Serving
import TestSupport
import Testing
import Views

@testable import Wire

/// A store's rows of some partitions, streamed a few at a time.
private struct Share: ViewStore {
  let store: ReadCoordinator
  let partitions: Set<PartitionID>

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { try await store.views() }

  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    try await store.read(mine(request))
  }

  nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    guard var stream = try await store.stream(mine(request)) else { return nil }
    stream.pieces = FewAtATime(inner: stream.pieces)
    return stream
  }

  private func mine(_ request: ViewReadRequest) -> ViewReadRequest {
    var request = request
    request.partitions = partitions
    return request
  }
}

private struct FewAtATime: RowPieces {
  var inner: any RowPieces
  var rows: PartialRows?
  var row = 0

  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    if rows.map({ row == $0.count }) ?? true { (rows, row) = (try await inner.next(), 0) }
    guard let rows else { return nil }
    var piece = PartialRows(stride: rows.stride)
    while row < rows.count, piece.count < 7 {
      piece.append(row, of: rows)
      row += 1
    }
    return piece
  }
}

@Suite("Remote streams of rows", .timeLimit(.minutes(2)))
struct RemoteStreamTests {
  private static let catalog = """
    views:
      by_source: { key: [source], window: { tumble: 1m }, allowed_lateness: 1h, aggregates: { n: count(), total: sum(data.v) } }
      by_kind: { key: { kind: data.kind }, window: { hop: { size: 2m, every: 1m } }, allowed_lateness: 1h, aggregates: { n: count() } }
      visits: { key: [source], window: { session: { gap: 20s } }, allowed_lateness: 1h, aggregates: { n: count() } }
      joined: { key: { kind: data.kind }, window: { session: { gap: 20s } }, allowed_lateness: 1h, aggregates: { n: count() } }
    """

  private static func append(_ numbers: Range<Int>, to log: SegmentedLog) async throws -> OffsetVector {
    var offsets = OffsetVector()
    for number in numbers {
      let source = "device/\(number % 40)"
      let partition = log.partition(of: source)
      let event = Event(
        source: source, type: "t", time: Timestamp(nanoseconds: Int64(number) * 1_000_000_000),
        data: ["v": .double(Double(number) / 3), "kind": .string("kind-\(number % 5)")])
      offsets[partition] = try await log.append(ColumnBatch(events: [event], partition: partition)).endOffset
    }
    return offsets
  }

  private static func rest(of stream: RowStream) async throws -> PartialRows {
    var pieces = stream.pieces
    var rows = PartialRows(stride: stream.head.definition.layout.stride)
    while let piece = try await pieces.next() { rows.append(contentsOf: piece) }
    return rows
  }

  private static func isSame(_ a: PartialRows, _ b: PartialRows) -> Bool {
    a.windowStarts == b.windowStarts && a.windowEnds == b.windowEnds && a.keyEnds == b.keyEnds && a.keyBytes == b.keyBytes
      && a.stateEnds == b.stateEnds && a.states == b.states && a.partitions == b.partitions
      && a.sourceWatermarks == b.sourceWatermarks
  }

  /// Two instances over one log of four partitions, and who asks them.
  private func withInstances(
    _ shares: [[Int]] = [[0, 3], [1, 2]],
    _ body: (SegmentedLog, ComputeService, RemoteViewStore, [ComputeRoutes], [WireServer]) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 4
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(directory: directory.path + "/compute", workers: 2),
      catalog: ViewCatalog(yaml: Self.catalog, file: "test"), log: log, logger: quiet)
    compute.start()
    var routes: [ComputeRoutes] = [], servers: [WireServer] = [], instances: [LoopbackDialler.Instance] = []
    for (index, share) in shares.enumerated() {
      let route = ComputeRoutes(store: Share(store: compute.reads, partitions: Set(share.map { PartitionID($0) })))
      let server = WireServer(
        name: "compute", host: "127.0.0.1", port: 0, group: ServedLog.group, routes: route,
        probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
      instances.append(.init(id: "instance-\(index)", port: try #require(try await server.start()?.port)))
      routes.append(route)
      servers.append(server)
    }
    let client = WireClient(dialler: LoopbackDialler(service: "compute", instances), group: ServedLog.group)
    let remote = RemoteViewStore(client: client, partitionCount: 4, logger: quiet)
    try await body(log, compute, remote, routes, servers)
    for server in servers { await server.shutDown() }
    await client.close()
    await compute.shutDown()
    await log.close()
  }

  private func closed(_ routes: [ComputeRoutes]) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
      var open = 0
      for route in routes { open += await route.streams.count }
      if open == 0 { return true }
      await Task.yield()
    }
    return false
  }

  @Test("all rows of several instances are those of one process, in their order and of one moment, while more is counted")
  func sameRows() async throws {
    try await withInstances { log, compute, remote, routes, _ in
      let end = try await Self.append(0..<600, to: log)
      for view in ["by_source", "by_kind", "visits"] {
        let request = ViewReadRequest(
          view: view, from: Timestamp(nanoseconds: 60_000_000_000), after: end, timeout: .seconds(30))
        let near = try #require(try await compute.reads.stream(request))
        let far = try #require(try await remote.stream(request))
        #expect(
          far.head.asOf == near.head.asOf && far.head.generation == near.head.generation
            && far.head.definition == near.head.definition)
        #expect(far.head.eventTimeWatermarks == near.head.eventTimeWatermarks)
        // Events that come now are in neither.
        let later = try await Self.append(600..<700, to: log)
        _ = try await compute.reads.read(ViewReadRequest(view: view, after: later, timeout: .seconds(30)))
        let (a, b) = (try await Self.rest(of: near), try await Self.rest(of: far))
        #expect(a.count > 40 && Self.isSame(a, b), "\(view)")
      }
      #expect(await closed(routes), "what is read to its end, or let go, is open nowhere")
    }
  }

  @Test("what cannot be streamed over the wire is read whole instead")
  func notStreamed() async throws {
    try await withInstances { log, _, remote, routes, _ in
      _ = try await Self.append(0..<100, to: log)
      #expect(try await remote.stream(ViewReadRequest(view: "joined")) == nil, "its sessions join over partitions")
      #expect(try await remote.stream(ViewReadRequest(view: "by_source", allowsPartial: true)) == nil)
      #expect(try await remote.stream(ViewReadRequest(view: "by_source", asOf: OffsetVector())) == nil)
      await #expect(throws: ViewStoreError.self) { _ = try await remote.stream(ViewReadRequest(view: "none")) }
      #expect(await closed(routes))
    }
    try await withInstances([[0, 1, 2], [2, 3]]) { log, _, remote, routes, _ in
      _ = try await Self.append(0..<100, to: log)
      #expect(try await remote.stream(ViewReadRequest(view: "by_source")) == nil, "partition 2 is being handed over")
      #expect(await closed(routes))
    }
    try await withInstances([[0, 1], [3]]) { _, _, remote, _, _ in
      await #expect(throws: ViewStoreError.missingPartitions([PartitionID(2)])) {
        _ = try await remote.stream(ViewReadRequest(view: "by_source"))
      }
    }
  }

  @Test("an instance that goes away ends the stream with an error, never with fewer rows")
  func goneMidway() async throws {
    try await withInstances { log, _, remote, routes, servers in
      let end = try await Self.append(0..<600, to: log)
      let stream = try #require(
        try await remote.stream(ViewReadRequest(view: "by_source", after: end, timeout: .seconds(30))))
      var pieces = stream.pieces
      #expect(try await pieces.next() != nil)
      await servers[1].shutDown()
      await #expect(throws: ViewStoreError.self) { while try await pieces.next() != nil {} }
      _ = routes
    }
  }

  @Test("a piece is given again when its answer was lost, and a stream that nobody reads on is let go")
  func pieces() async throws {
    try await withInstances { log, compute, _, _, _ in
      let end = try await Self.append(0..<600, to: log)
      let share = Share(store: compute.reads, partitions: [PartitionID(0)])
      let streams = ComputeStreams()
      let request = ViewReadRequest(view: "by_source", after: end, timeout: .seconds(30))
      let id = try await streams.add(try #require(try await share.stream(request)))
      let first = try #require(try await streams.next(id, piece: 0)).rows
      let again = try #require(try await streams.next(id, piece: 0)).rows
      #expect(first.count == 7 && Self.isSame(first, again))
      #expect(try await streams.next(id, piece: 1) != nil)
      for piece in [0, 3, -1] {
        await #expect(throws: ViewStoreError.self) { _ = try await streams.next(id, piece: piece) }
      }
      var piece = 2
      while try await streams.next(id, piece: piece) != nil { piece += 1 }
      #expect(try await streams.next(id, piece: piece) == nil, "that there are no more is told again, too")
      await streams.close(id)
      await #expect(throws: ViewStoreError.self) { _ = try await streams.next(id, piece: piece) }

      let brief = ComputeStreams(idleMax: .milliseconds(50))
      _ = try await brief.add(try #require(try await share.stream(request)))
      let deadline = ContinuousClock.now + .seconds(20)
      while await brief.count > 0, ContinuousClock.now < deadline { await Task.yield() }
      #expect(await brief.count == 0)
    }
  }

  @Test("only so many are open at a time")
  func bounded() async throws {
    try await withInstances { _, compute, _, _, _ in
      let streams = ComputeStreams()
      let share = Share(store: compute.reads, partitions: [PartitionID(0)])
      for _ in 0..<ComputeStreams.streamsMax {
        _ = try await streams.add(try #require(try await share.stream(ViewReadRequest(view: "by_source"))))
      }
      let one = try #require(try await share.stream(ViewReadRequest(view: "by_source")))
      await #expect(throws: ViewStoreError.self) { _ = try await streams.add(one) }
    }
  }
}
