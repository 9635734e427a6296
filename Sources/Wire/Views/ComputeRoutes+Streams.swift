import Events
import NIOCore
import Serving
import Views

/// All rows of one moment, a request for each piece.
extension ComputeRoutes {
  /// A request for an open stream: `{"stream":"9f3a…","piece":0}`.
  private struct StreamRequest {
    var id: UInt64
    var piece: Int

    init?(_ json: JSONValue?) {
      guard case .string(let digits)? = json?["stream"], let id = UInt64(digits, radix: 16) else { return nil }
      self.id = id
      piece = 0
      guard let given = json?["piece"] else { return }
      guard case .int(let piece) = given, let piece = Int(exactly: piece) else { return nil }
      self.piece = piece
    }
  }

  func stream(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse {
    guard let wanted = try await wanted(request) else { return ComputeRoutes.bad(request) }
    guard let stream = try await store.stream(wanted) else { return WireResponse(["stream": .null]) }
    var body = ByteBuffer()
    body.writeInteger(try await streams.add(stream), endianness: .little)
    var head = RowsCoding.encode(stream.head)
    body.writeBuffer(&head)
    return WireResponse(contentType: WireContent.rows, body: body)
  }

  func nextPiece(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse {
    guard let asked = StreamRequest(ComputeRoutes.json(request)) else { return ComputeRoutes.bad(request) }
    guard let piece = try await streams.next(asked.id, piece: asked.piece) else { return WireResponse(["done": .bool(true)]) }
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(piece))
  }

  func closeStream(_ request: HTTPRequest) async -> WireResponse {
    guard let asked = StreamRequest(ComputeRoutes.json(request)) else { return ComputeRoutes.bad(request) }
    await streams.close(asked.id)
    return WireResponse(["done": .bool(true)])
  }
}
