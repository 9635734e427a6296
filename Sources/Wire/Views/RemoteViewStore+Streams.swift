import Aggregates
import Events
import Views

extension RemoteViewStore {
  /// Each instance keeps a moment until the last row is read or the stream is released.
  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    // A stream is never of some partitions only.
    guard request.asOf == nil, !request.allowsPartial else { return nil }
    let (peers, within) = (peers, request.timeout + RemoteViewStore.slack)
    let answers = try await peers.collect(
      RemoteViewStore.wire(request, to: "/v1/compute/stream"), within: within, passingOver: RemoteViewStore.isOfAbsence
    ) { peer, response -> (head: PartialResult, cursor: RemoteCursor)?? in
      guard response.contentType == WireContent.rows else { return .some(nil) }
      var body = response.body
      guard let id = body.readInteger(endianness: .little, as: UInt64.self), let head = peers.rows(body) else { return nil }
      return (head, RemoteCursor(RemoteStream(id: id, peer: peer, client: peers.client), peers, within: within))
    }
    let opened = answers.compactMap { $0 }
    let heads = opened.map(\.head)
    let present = heads.flatMap { Array($0.asOf.offsets.keys) }
    // `read` handles these cases: no streams of this request, a generation that is being taken over, or a partition that moves
    // between instances.
    guard opened.count == answers.count, Set(present).count == present.count, let first = heads.first, ComputePeers.agree(heads)
    else { return nil }
    let missing = peers.missing(present)
    guard missing.isEmpty else { throw .missingPartitions(missing) }
    let head = ComputePeers.merged(heads, ComputePeers.owners(heads.map(\.asOf)))
    return RowStream(head: head, pieces: RemotePieces(definition: first.definition, rows: MergedRows(opened.map(\.cursor))))
  }
}

/// The instances' rows, merged as they are read.
private struct RemotePieces: RowPieces {
  let definition: ViewDefinition
  var rows: MergedRows<RemoteCursor>

  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    while !rows.isDone {
      let piece = try await rows.next(stride: definition.layout.stride).rows
      if piece.count > 0 { return piece.merged(for: definition) }
    }
    return nil
  }
}
