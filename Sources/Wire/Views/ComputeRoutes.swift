import Events
import Expressions
import NIOCore
import Resources
import Serving
import Views

/// A compute instance's routes, for `RemoteViewStore` and `RemoteViewAdmin`. docs/wire.md describes them.
public struct ComputeRoutes: WireRoutes {
  let store: any ViewStore
  private let late: (any LateEventStore)?
  private let sources: (any SourceStore)?
  private let admin: (any ViewAdmin)?
  private let adHoc: (any AdHocStore)?
  private let generationsVersion: @Sendable () -> UInt64
  let streams = ComputeStreams()

  /// - Parameters:
  ///   - store: The store of the instance's partitions.
  ///   - late: Lists their late events; nil where no late events are kept.
  ///   - sources: Knows their sources; nil where that is not offered.
  ///   - admin: Changes and compares generations; nil where that is not offered.
  ///   - adHoc: Computes one-off aggregations; nil where that is not offered.
  ///   - generationsVersion: The number of entries of the record of views that the instance has read; rises with each change.
  public init(
    store: any ViewStore, late: (any LateEventStore)? = nil, sources: (any SourceStore)? = nil,
    admin: (any ViewAdmin)? = nil, adHoc: (any AdHocStore)? = nil,
    generationsVersion: @escaping @Sendable () -> UInt64 = { 0 }
  ) {
    self.store = store
    self.late = late
    self.sources = sources
    self.admin = admin
    self.adHoc = adHoc
    self.generationsVersion = generationsVersion
  }

  public var openAPI: [UInt8] { EmbeddedFile.computeOpenAPI.bytes }

  public var table: RouteTable<WireEndpoint> {
    let asked = 256 << 10
    var routes: [Route<WireEndpoint>] = [
      .read("/v1/compute/views", ComputeRoutes.answering(views)),
      .read("/v1/compute/tallies", ComputeRoutes.answering(tallies)),
      .ask("/v1/compute/read", bodyBytesMax: asked, ComputeRoutes.answering(read)),
      .ask("/v1/compute/slowest", bodyBytesMax: asked, slowest),
      .ask("/v1/compute/stream", bodyBytesMax: asked, ComputeRoutes.answering(stream)),
      .ask("/v1/compute/stream/next", bodyBytesMax: asked, ComputeRoutes.answering(nextPiece)),
      .ask("/v1/compute/stream/close", bodyBytesMax: asked, closeStream),
    ]
    if let late {
      routes.append(
        .ask(
          "/v1/compute/late", bodyBytesMax: asked,
          ComputeRoutes.answering { request throws(ViewStoreError) in try await ComputeRoutes.late(request, late) }))
    }
    if let sources {
      routes.append(
        .ask(
          "/v1/compute/sources", bodyBytesMax: 4 << 20,
          ComputeRoutes.answering { request throws(ViewStoreError) in try await ComputeRoutes.sources(request, sources) }))
    }
    if let adHoc {
      routes.append(
        .ask("/v1/compute/aggregate", bodyBytesMax: asked) { request in await ComputeRoutes.aggregate(request, adHoc) })
    }
    if let admin { routes += GenerationRoutes(admin: admin, version: generationsVersion).all(bodyBytesMax: asked) }
    return RouteTable(routes)
  }

  /// An endpoint with a store's errors as answers.
  static func answering(
    _ body: @escaping @Sendable (HTTPRequest) async throws(ViewStoreError) -> WireResponse
  ) -> WireEndpoint {
    { request in
      do throws(ViewStoreError) { return try await body(request) } catch { return error.response }
    }
  }

  private func views(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse {
    WireResponse(["views": .array(try await store.views().map(\.json))])
  }

  private func tallies(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse {
    WireResponse(["views": .array(try await store.tallies().map(\.json))])
  }

  private func slowest(_ request: HTTPRequest) -> WireResponse {
    guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
      case .int(let generation)? = json["generation"], case .int(let time)? = json["event_time_watermark"]
    else { return ComputeRoutes.bad(request) }
    store.noteSlowest(view, generation: Int(clamping: generation), Timestamp(nanoseconds: time))
    return WireResponse(["done": .bool(true)])
  }

  private static func late(_ request: HTTPRequest, _ late: any LateEventStore) async throws(ViewStoreError) -> WireResponse {
    guard let wanted = ComputeRoutes.json(request).flatMap({ LateReadRequest(json: $0) }) else {
      return ComputeRoutes.bad(request)
    }
    return WireResponse(try await late.late(wanted).json)
  }

  private static func sources(_ request: HTTPRequest, _ sources: any SourceStore) async throws(ViewStoreError) -> WireResponse {
    guard let wanted = ComputeRoutes.json(request).flatMap({ SourceReadRequest(json: $0) }) else {
      return ComputeRoutes.bad(request)
    }
    return WireResponse(try await sources.sources(wanted).json)
  }

  private static func aggregate(_ request: HTTPRequest, _ adHoc: any AdHocStore) async -> WireResponse {
    guard let wanted = AdHocRequest(json: ComputeRoutes.json(request)) else { return ComputeRoutes.bad(request) }
    do throws(AdHocError) {
      return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(try await adHoc.aggregate(wanted)))
    } catch {
      return error.response
    }
  }

  private func read(_ request: HTTPRequest) async throws(ViewStoreError) -> WireResponse {
    guard let wanted = try await wanted(request) else { return ComputeRoutes.bad(request) }
    let result = try await store.read(wanted)
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(result))
  }

  /// The read that a body asks for; nil when it is malformed.
  func wanted(_ request: HTTPRequest) async throws(ViewStoreError) -> ViewReadRequest? {
    guard let json = ComputeRoutes.json(request), var wanted = ViewReadRequest(json: json) else { return nil }
    if case .string(let text)? = json["key_filter"] {
      // The filter only saves rows, and the caller applies it again: one that cannot be read here is left out.
      let known = try await store.views().first { $0.definition.name == wanted.view }?.definition
      if let known { wanted.keyFilter = try? Expression(parsing: text, scope: known.schema.keyScope) }
    }
    // An instance answers for the partitions it owns; the caller of all instances finds the missing ones.
    wanted.allowsPartial = true
    return wanted
  }

  static func json(_ request: HTTPRequest) -> JSONValue? {
    request.body.readableBytes > 0 ? try? JSONValue(parsing: request.body.readableBytesView) : nil
  }

  static func bad(_ request: HTTPRequest) -> WireResponse {
    LogRoutes.bad("bad_request", "expected what docs/wire.md describes for \(request.path.prefix(64))")
  }
}
