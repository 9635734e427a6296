import Events
import Views

extension RemoteViewStore {
  /// As of a moment for each instance, which it keeps until the last row is read or the stream is let go.
  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    // `RowStream` has no place for what is missing.
    guard request.asOf == nil, !request.allowsPartial else { return nil }
    let peers = peers
    let within = request.timeout + RemoteViewStore.slack
    var opened: [(head: PartialResult, source: RemoteRows.Source)] = []
    var isWhole = true
    for (peer, response) in try await peers.askAll(RemoteViewStore.wire(request, to: "/v1/compute/stream"), within: within) {
      guard response.status == 200 else {
        let error = ComputePeers.error(response, peer)
        guard RemoteViewStore.isOfAbsence(error) else { throw error }
        peers.logger.debug("\(peer) opens no stream: \(error)")
        continue
      }
      guard response.contentType == WireContent.rows else {
        isWhole = false
        continue
      }
      var body = response.body
      guard let id = body.readInteger(endianness: .little, as: UInt64.self),
        let head = RowsCoding.decode(body, definition: { peers.definition($0) }),
        head.asOf.offsets.keys.allSatisfy({ $0.index < peers.partitionCount })
      else { throw ComputePeers.malformed(peer) }
      opened.append((head, RemoteRows.Source(RemoteStream(id: id, peer: peer, client: peers.client))))
    }
    let present = opened.flatMap { Array($0.head.asOf.offsets.keys) }
    // What `read` settles: no streams of this request, a generation that is being taken over, or a partition that passes from one to another.
    guard isWhole, let first = opened.first?.head, Set(present).count == present.count,
      opened.allSatisfy({ $0.head.generation == first.generation && $0.head.definition == first.definition })
    else { return nil }
    let missing = peers.missing(present)
    guard missing.isEmpty else { throw .missingPartitions(missing) }
    var stream = RowStream(
      definition: first.definition, generation: first.generation, asOf: OffsetVector(), eventTimeWatermarks: [:],
      pieces: RemoteRows(first.definition, opened.map(\.source), peers: peers, within: within))
    for (head, _) in opened {
      stream.asOf.formMaximum(head.asOf)
      stream.eventTimeWatermarks.merge(head.eventTimeWatermarks) { $1 }
      if let end = head.droppedEnd { stream.droppedEnd = max(end, stream.droppedEnd ?? end) }
    }
    return stream
  }
}

/// A stream that an instance has open for this process, and closes when this is let go.
final class RemoteStream: Sendable {
  let peer: Peer
  private let id: UInt64
  private let client: WireClient

  init(id: UInt64, peer: Peer, client: WireClient) {
    self.id = id
    self.peer = peer
    self.client = client
  }

  deinit {
    let (request, peer, client) = (self.request("close"), self.peer, self.client)
    // One that does not hear of it lets the stream go by itself.
    Task { _ = try? await client.send(request, to: peer, within: RemoteViewStore.slack) }
  }

  /// Asks for a piece by its number, and once more when the connection ended: it is the same piece then.
  func next(_ piece: Int, within timeout: Duration) async throws(ViewStoreError) -> WireResponse {
    let request = self.request("next", piece)
    do throws(PeerError) {
      return try await client.send(request, to: peer, within: timeout)
    } catch {
      guard error.code == .disconnected else { throw .unavailable("\(error)") }
    }
    do throws(PeerError) {
      return try await client.send(request, to: peer, within: timeout)
    } catch {
      throw .unavailable("\(error)")
    }
  }

  private func request(_ name: String, _ piece: Int? = nil) -> WireRequest {
    var members = JSONObject()
    members["stream"] = .string(String(id, radix: 16))
    if let piece { members["piece"] = .int(Int64(piece)) }
    return WireRequest(posting: .object(members), to: "/v1/compute/stream/\(name)", answerBytesMax: RowsCoding.bytesMax)
  }
}

/// The instances' rows, merged as they are read: a piece of each is held.
struct RemoteRows: RowPieces {
  /// One instance's rows.
  struct Source: Sendable {
    let stream: RemoteStream
    var piece = 0
    var rows: PartialRows?
    /// The next of them.
    var row = 0
    var isDone = false

    init(_ stream: RemoteStream) { self.stream = stream }

    var isEmpty: Bool { rows.map { row == $0.count } ?? true }
  }

  private let definition: ViewDefinition
  private let peers: ComputePeers
  private let within: Duration
  private var sources: [Source]

  init(_ definition: ViewDefinition, _ sources: [Source], peers: ComputePeers, within: Duration) {
    self.definition = definition
    self.sources = sources
    self.peers = peers
    self.within = within
  }

  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    for index in sources.indices {
      var source = sources[index]
      try await fill(&source)
      sources[index] = source
    }
    // Beyond the lowest place that all have reached, some may still have rows.
    var reach: RowPlace?
    for source in sources where !source.isDone {
      guard let rows = source.rows, rows.count > 0 else { continue }
      let place = rows.place(rows.count - 1)
      if reach.map({ place.isBefore($0) }) ?? true { reach = place }
    }
    var taken = PartialRows(stride: definition.layout.stride)
    for index in sources.indices {
      guard let rows = sources[index].rows else { continue }
      while sources[index].row < rows.count, reach.map({ rows.order(sources[index].row, $0) <= 0 }) ?? true {
        taken.append(sources[index].row, of: rows)
        sources[index].row += 1
      }
    }
    guard taken.count > 0 else { return nil }
    return taken.merged(for: definition)
  }

  /// Reads the next piece of one that has given all of the last.
  private func fill(_ source: inout Source) async throws(ViewStoreError) {
    while source.isEmpty, !source.isDone {
      let response = try await source.stream.next(source.piece, within: within)
      guard response.status == 200 else { throw ComputePeers.error(response, source.stream.peer) }
      source.piece += 1
      (source.rows, source.row) = (nil, 0)
      guard response.contentType == WireContent.rows else {
        guard response.json?["done"] == .bool(true) else { throw ComputePeers.malformed(source.stream.peer) }
        source.isDone = true
        return
      }
      guard let result = RowsCoding.decode(response.body, definition: { peers.definition($0) }) else {
        throw ComputePeers.malformed(source.stream.peer)
      }
      source.rows = result.rows
    }
  }
}
