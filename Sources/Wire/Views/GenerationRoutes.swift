import Events
import NIOCore
import Serving
import Views

/// Changes of which generations there are, and questions about them.
struct GenerationRoutes: Sendable {
  let admin: any ViewAdmin
  /// How many entries of the record of views the instance goes by.
  let version: @Sendable () -> UInt64

  func all(bodyBytesMax: Int) -> [Route<WireEndpoint>] {
    [
      .read("/v1/compute/generations", answering(generations)),
      .ask("/v1/compute/apply", bodyBytesMax: ViewCatalog.writtenBytesMax, answering(apply)),
      .ask("/v1/compute/replay", bodyBytesMax: bodyBytesMax, answering(replay)),
      .ask("/v1/compute/estimate", bodyBytesMax: bodyBytesMax, answering(estimate)),
      .ask("/v1/compute/promote", bodyBytesMax: bodyBytesMax, answering(promote)),
      .ask("/v1/compute/rollback", bodyBytesMax: bodyBytesMax, answering(rollback)),
      .ask("/v1/compute/drop", bodyBytesMax: bodyBytesMax, answering(drop)),
      .ask("/v1/compute/remove", bodyBytesMax: bodyBytesMax, answering(remove)),
      .ask("/v1/compute/pinned", bodyBytesMax: bodyBytesMax, answering(pinned)),
      .ask("/v1/compute/verify", bodyBytesMax: bodyBytesMax, answering(verify)),
    ]
  }

  /// - Parameter body: Nil when the request is not what the path takes.
  private func answering(
    _ body: @escaping @Sendable (HTTPRequest) async throws(ViewStoreError) -> WireResponse?
  ) -> WireEndpoint {
    ComputeRoutes.answering { request throws(ViewStoreError) in try await body(request) ?? ComputeRoutes.bad(request) }
  }

  private func generations(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let view = request.decodedQuery?["view"] else { return nil }
    // The version comes first: the listed table is of that version or a newer one.
    let version = version()
    let all = try await admin.generations(of: view)
    return WireResponse(["version": .string(String(version)), "generations": .array(all.map(\.json))])
  }

  private func apply(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let json = ComputeRoutes.json(request), case .string(let text)? = json["views"],
      let catalog = try? ViewCatalog(yaml: text, file: "wire", bytesMax: ViewCatalog.writtenBytesMax),
      case .bool(let hold)? = json["hold"]
    else { return nil }
    let applied = try await admin.apply(catalog, hold: hold)
    return WireResponse(["version": .string(String(version())), "views": .array(applied.map(\.json))])
  }

  private func replay(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let replay = ComputeRoutes.json(request).flatMap({ ReplayRequest(json: $0) }) else { return nil }
    return changed(try await admin.replay(replay))
  }

  private func estimate(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let replay = ComputeRoutes.json(request).flatMap({ ReplayRequest(json: $0) }) else { return nil }
    return WireResponse(try await admin.estimate(replay).json)
  }

  private func promote(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let promotion = ComputeRoutes.json(request).flatMap({ PromoteRequest(json: $0) }) else { return nil }
    return changed(try await admin.promote(promotion))
  }

  private func rollback(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard case .string(let view)? = ComputeRoutes.json(request)?["view"] else { return nil }
    return changed(try await admin.rollback(view))
  }

  private func drop(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
      case .int(let generation)? = json["generation"]
    else { return nil }
    return changed(try await admin.drop(view, generation: Int(clamping: generation)))
  }

  private func pinned(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let pinned = ComputeRoutes.json(request).flatMap({ PinnedRequest(json: $0) }) else { return nil }
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encodePair(try await admin.pinned(pinned)))
  }

  private func remove(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
      case .int(let purgeAfter)? = json["purge_after"], purgeAfter >= 0
    else { return nil }
    let removal = try await admin.remove(view, purgeAfter: purgeAfter)
    return WireResponse(["version": .string(String(version())), "removal": removal.json])
  }

  private func verify(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse? {
    guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
      case .int(let milliseconds)? = json["timeout_ms"], (0...3_600_000).contains(milliseconds)
    else { return nil }
    var generation: Int?
    if case .int(let number)? = json["generation"] { generation = Int(clamping: number) }
    return WireResponse(try await admin.verify(view, generation: generation, timeout: .milliseconds(milliseconds)).json)
  }

  private func changed(_ status: GenerationStatus) -> WireResponse {
    WireResponse(["version": .string(String(version())), "generation": status.json])
  }
}
