import Events
import NIOCore
import NIOHTTP1
import Views

/// A compute instance's routes: what `RemoteViewStore` asks. docs/wire.md describes them.
public struct ComputeRoutes: WireRoutes {
  private let store: any ViewStore

  public init(store: any ViewStore) { self.store = store }

  public func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int {
    method == .POST ? 256 << 10 : WireServer.strayBodyBytesMax
  }
  public var openAPI: [UInt8] { PackageResources.compute_openapi_json }

  public func answer(_ request: WireRequest) async -> WireResponse {
    do throws(ViewStoreError) {
      switch (request.method, request.path) {
      case (.GET, "/v1/compute/views"):
        return WireResponse(["views": .array(try await store.views().map(\.json))])
      case (.POST, "/v1/compute/read"): return try await read(request)
      case (_, "/v1/compute/views"): return LogRoutes.refusal(request, allowed: "GET")
      case (_, "/v1/compute/read"): return LogRoutes.refusal(request, allowed: "POST")
      default: return LogRoutes.refusal(request, allowed: nil)
      }
    } catch {
      return error.response
    }
  }

  private func read(_ request: WireRequest) async throws(ViewStoreError) -> WireResponse {
    guard let json = request.body.readableBytes > 0 ? try? JSONValue(parsing: request.body.readableBytesView) : nil,
      var wanted = ViewReadRequest(json: json)
    else { return LogRoutes.bad("bad_request", "expected a read as docs/wire.md describes it") }
    if case .string(let text)? = json["key_filter"] {
      // It only saves rows, and whoever asks applies it again: one that does not read here is left out.
      let known = try await store.views().first { $0.definition.name == wanted.view }?.definition
      if let known { wanted.keyFilter = try? Expression(parsing: text, scope: known.schema.keyScope) }
    }
    // An instance answers for what it owns; whoever asks them all sees what is missing.
    wanted.allowsPartial = true
    let result = try await store.read(wanted)
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(result))
  }
}
