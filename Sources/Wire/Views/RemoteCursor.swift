import Events
import Views

/// One instance's rows, a piece at a time.
struct RemoteCursor: OrderedRows {
  private let stream: RemoteStream
  private let peers: ComputePeers
  private let within: Duration
  private var piece = 0
  /// Nil before the first and after the last.
  private var rows: PartialRows?
  private var row = 0
  private var isAtEnd = false

  /// - Parameter within: For each piece.
  init(_ stream: RemoteStream, _ peers: ComputePeers, within: Duration) {
    self.stream = stream
    self.peers = peers
    self.within = within
  }

  var isDone: Bool { isAtEnd && rows == nil }

  var reach: RowPlace? { isAtEnd ? nil : rows.map { $0.place($0.count - 1) } }

  mutating func fill() async throws(ViewStoreError) {
    while rows == nil, !isAtEnd {
      let response = try await stream.next(piece, within: within)
      guard response.status == 200 else { throw ComputePeers.error(response, stream.peer) }
      piece += 1
      guard response.contentType == WireContent.rows else {
        guard response.json?["done"] == .bool(true) else { throw ComputePeers.malformed(stream.peer) }
        isAtEnd = true
        return
      }
      guard let read = peers.rows(response.body) else { throw ComputePeers.malformed(stream.peer) }
      if read.rows.count > 0 { (rows, row) = (read.rows, 0) }
    }
  }

  mutating func take(through place: RowPlace?, into taken: inout PartialRows) {
    guard let rows else { return }
    while row < rows.count, place.map({ rows.order(row, $0) <= 0 }) ?? true {
      taken.append(row, of: rows)
      row += 1
    }
    if row == rows.count { self.rows = nil }
  }
}

/// A stream that an instance has open for this process; releasing this closes it.
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
    // An instance that does not receive it closes the stream by itself.
    Task { _ = try? await client.send(request, to: peer, within: RemoteViewStore.slack) }
  }

  /// Asks for a piece by its number, and once more when the connection ended: the piece is the same.
  func next(_ piece: Int, within timeout: Duration) async throws(ViewStoreError) -> WireResponse {
    let request = self.request("next", piece)
    for isLast in [false, true] {
      do throws(PeerError) { return try await client.send(request, to: peer, within: timeout) } catch {
        guard !isLast, error.code == .disconnected else { throw .unavailable("\(error)") }
      }
    }
    preconditionFailure("the last try returns or throws")
  }

  private func request(_ name: String, _ piece: Int? = nil) -> WireRequest {
    var members = JSONObject()
    members["stream"] = .string(String(id, radix: 16))
    if let piece { members["piece"] = .int(Int64(piece)) }
    return WireRequest(posting: .object(members), to: "/v1/compute/stream/\(name)", answerBytesMax: RowsCoding.bytesMax)
  }
}
