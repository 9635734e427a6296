import Events
import Expressions
import NIOCore
import NIOHTTP1
import Resources
import Views

/// A compute instance's routes: what `RemoteViewStore` and `RemoteViewAdmin` ask. docs/wire.md describes them.
public struct ComputeRoutes: WireRoutes {
  let store: any ViewStore
  private let late: (any LateEventStore)?
  private let admin: (any ViewAdmin)?
  private let adHoc: (any AdHocStore)?
  private let generationsVersion: @Sendable () -> UInt64
  let streams = ComputeStreams()

  /// - Parameters:
  ///   - store: Answers for the instance's partitions.
  ///   - late: Lists their late events; nil where nobody keeps them.
  ///   - admin: Changes and compares generations; nil where that is not offered.
  ///   - adHoc: Computes aggregations once; nil where that is not offered.
  ///   - generationsVersion: How many entries of the record of views the instance goes by; rises with each change.
  public init(
    store: any ViewStore, late: (any LateEventStore)? = nil, admin: (any ViewAdmin)? = nil, adHoc: (any AdHocStore)? = nil,
    generationsVersion: @escaping @Sendable () -> UInt64 = { 0 }
  ) {
    self.store = store
    self.late = late
    self.admin = admin
    self.adHoc = adHoc
    self.generationsVersion = generationsVersion
  }

  var version: UInt64 { generationsVersion() }

  public func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int {
    guard method == .POST else { return WireServer.strayBodyBytesMax }
    return path == "/v1/compute/apply" ? ViewCatalog.writtenBytesMax : 256 << 10
  }
  public var openAPI: [UInt8] { EmbeddedFile.computeOpenAPI.bytes }

  /// What each path takes: the description is held to it.
  private static let methods: [Substring: String] = {
    let posted = [
      "read", "late", "aggregate", "apply", "replay", "estimate", "promote", "rollback", "drop", "remove", "pinned", "verify",
      "stream",
      "stream/next", "stream/close", "slowest",
    ]
    var methods: [Substring: String] = [
      "/v1/compute/views": "GET", "/v1/compute/tallies": "GET", "/v1/compute/generations": "GET",
    ]
    for name in posted { methods["/v1/compute/\(name)"] = "POST" }
    return methods
  }()

  public func answer(_ request: WireRequest) async -> WireResponse {
    let allowed = ComputeRoutes.methods[request.path]
    guard allowed == request.method.rawValue else { return LogRoutes.refusal(request, allowed: allowed) }
    do throws(ViewStoreError) {
      switch (request.method, request.path) {
      case (.GET, "/v1/compute/views"):
        return WireResponse(["views": .array(try await store.views().map(\.json))])
      case (.GET, "/v1/compute/tallies"):
        return WireResponse(["views": .array(try await store.tallies().map(\.json))])
      case (.POST, "/v1/compute/read"): return try await read(request)
      case (.POST, "/v1/compute/slowest"):
        guard let json = ComputeRoutes.json(request), case .string(let view)? = json["view"],
          case .int(let generation)? = json["generation"], case .int(let time)? = json["event_time_watermark"]
        else { return ComputeRoutes.bad(request) }
        store.noteSlowest(view, generation: Int(clamping: generation), Timestamp(nanoseconds: time))
        return WireResponse(["done": .bool(true)])
      case (.POST, "/v1/compute/late"):
        guard let late else { return LogRoutes.refusal(request, allowed: nil) }
        guard let wanted = ComputeRoutes.json(request).flatMap({ LateReadRequest(json: $0) }) else {
          return ComputeRoutes.bad(request)
        }
        return WireResponse(try await late.late(wanted).json)
      case (.POST, "/v1/compute/aggregate"): return await aggregate(request)
      default:
        if let answer = try await streamed(request) { return answer }
        if let admin, let answer = try await self.admin(request, admin) { return answer }
        return LogRoutes.refusal(request, allowed: nil)
      }
    } catch {
      return error.response
    }
  }

  private func aggregate(_ request: WireRequest) async -> WireResponse {
    guard let adHoc else { return LogRoutes.refusal(request, allowed: nil) }
    guard let wanted = AdHocRequest(json: ComputeRoutes.json(request)) else { return ComputeRoutes.bad(request) }
    do throws(AdHocError) {
      return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(try await adHoc.aggregate(wanted)))
    } catch {
      return error.response
    }
  }

  private func read(_ request: WireRequest) async throws(ViewStoreError) -> WireResponse {
    guard let wanted = try await wanted(request) else { return ComputeRoutes.bad(request) }
    let result = try await store.read(wanted)
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(result))
  }

  /// The read that a body asks for; nil when it is none.
  func wanted(_ request: WireRequest) async throws(ViewStoreError) -> ViewReadRequest? {
    guard let json = ComputeRoutes.json(request), var wanted = ViewReadRequest(json: json) else { return nil }
    if case .string(let text)? = json["key_filter"] {
      // It only saves rows, and whoever asks applies it again: one that does not read here is left out.
      let known = try await store.views().first { $0.definition.name == wanted.view }?.definition
      if let known { wanted.keyFilter = try? Expression(parsing: text, scope: known.schema.keyScope) }
    }
    // An instance answers for what it owns; whoever asks them all sees what is missing.
    wanted.allowsPartial = true
    return wanted
  }
}
