import Events
import NIOCore
import Views

extension ComputeRoutes {
  /// A change of which generations there are, or a question about them; nil when the path is none of these.
  func admin(_ request: WireRequest, _ admin: any ViewAdmin) async throws(ViewStoreError) -> WireResponse? {
    guard request.method == .POST || request.path == "/v1/compute/generations" else { return nil }
    switch request.path {
    case "/v1/compute/generations":
      guard let view = request.parameters?["view"] else { return ComputeRoutes.bad(request) }
      // The version first: what is listed then is of that table or a newer one.
      let version = version
      let all = try await admin.generations(of: view)
      return WireResponse(["version": .string(String(version)), "generations": .array(all.map(\.json))])
    case "/v1/compute/apply":
      guard let json = ComputeRoutes.json(request), case .string(let text)? = json["views"],
        let catalog = try? ViewCatalog(yaml: text, file: "wire", bytesMax: ViewCatalog.writtenBytesMax),
        case .bool(let hold)? = json["hold"]
      else { return ComputeRoutes.bad(request) }
      let applied = try await admin.apply(catalog, hold: hold)
      return WireResponse(["version": .string(String(version)), "views": .array(applied.map(\.json))])
    case "/v1/compute/replay":
      guard let replay = ComputeRoutes.json(request).flatMap({ ReplayRequest(json: $0) }) else {
        return ComputeRoutes.bad(request)
      }
      return changed(try await admin.replay(replay))
    case "/v1/compute/estimate":
      guard let replay = ComputeRoutes.json(request).flatMap({ ReplayRequest(json: $0) }) else {
        return ComputeRoutes.bad(request)
      }
      return WireResponse(try await admin.estimate(replay).json)
    case "/v1/compute/promote":
      guard let promotion = ComputeRoutes.json(request).flatMap({ PromoteRequest(json: $0) }) else {
        return ComputeRoutes.bad(request)
      }
      return changed(try await admin.promote(promotion))
    case "/v1/compute/rollback":
      guard case .string(let view)? = ComputeRoutes.json(request)?["view"] else { return ComputeRoutes.bad(request) }
      return changed(try await admin.rollback(view))
    case "/v1/compute/drop":
      guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
        case .int(let generation)? = json["generation"]
      else { return ComputeRoutes.bad(request) }
      return changed(try await admin.drop(view, generation: Int(clamping: generation)))
    case "/v1/compute/remove":
      guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
        case .int(let purgeAfter)? = json["purge_after"], purgeAfter >= 0
      else { return ComputeRoutes.bad(request) }
      let removal = try await admin.remove(view, purgeAfter: purgeAfter)
      return WireResponse(["version": .string(String(version)), "removal": removal.json])
    case "/v1/compute/pinned":
      guard let pinned = ComputeRoutes.json(request).flatMap({ PinnedRequest(json: $0) }) else {
        return ComputeRoutes.bad(request)
      }
      return WireResponse(contentType: WireContent.rows, body: RowsCoding.encodePair(try await admin.pinned(pinned)))
    case "/v1/compute/verify":
      guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
        case .int(let milliseconds)? = json["timeout_ms"], (0...3_600_000).contains(milliseconds)
      else { return ComputeRoutes.bad(request) }
      var generation: Int?
      if case .int(let number)? = json["generation"] { generation = Int(clamping: number) }
      return WireResponse(try await admin.verify(view, generation: generation, timeout: .milliseconds(milliseconds)).json)
    default: return nil
    }
  }

  private func changed(_ status: GenerationStatus) -> WireResponse {
    WireResponse(["version": .string(String(version)), "generation": status.json])
  }

  static func json(_ request: WireRequest) -> JSONValue? {
    request.body.readableBytes > 0 ? try? JSONValue(parsing: request.body.readableBytesView) : nil
  }

  static func bad(_ request: WireRequest) -> WireResponse {
    LogRoutes.bad("bad_request", "expected what docs/wire.md describes for \(request.path.prefix(64))")
  }
}
