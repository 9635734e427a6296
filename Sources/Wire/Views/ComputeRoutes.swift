import Events
import NIOCore
import NIOHTTP1
import Views

/// A compute instance's routes: what `RemoteViewStore` asks. docs/wire.md describes them.
public struct ComputeRoutes: WireRoutes {
  private let store: any ViewStore

  public init(store: any ViewStore) { self.store = store }

  public func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int { method == .POST ? 256 << 10 : 0 }
  public var openAPI: String { ComputeOpenAPI.document }

  public func answer(_ request: WireRequest) async -> WireResponse {
    do throws(ViewStoreError) {
      switch (request.method, request.path) {
      case (.GET, "/v1/compute/views"):
        return WireResponse(["views": .array(try await store.views().map(\.json))])
      case (.POST, "/v1/compute/read"): return try await read(request)
      default: return LogRoutes.notFound(request)
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
    let result = try await store.read(wanted)
    return WireResponse(contentType: WireContent.rows, body: RowsCoding.encode(result))
  }
}

/// A compute instance's OpenAPI document.
enum ComputeOpenAPI {
  static let document = #"""
    {"openapi":"3.1.0","info":{"title":"Penstock compute","version":"1","description":"Views of some partitions, as the query service asks for them. Bodies are described byte by byte in docs/wire.md."},
    "paths":{
    "/v1/compute/views":{"get":{"summary":"Every view and how far each partition of this instance has come","operationId":"views","responses":{"200":{"description":"The views"}}}},
    "/v1/compute/read":{"post":{"summary":"Rows of a view, their aggregates still open to merging","operationId":"read","responses":{"200":{"description":"Rows","content":{"application/vnd.penstock.rows":{}}},"404":{"$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"},"504":{"$ref":"#/components/responses/Problem"}}}},
    "/livez":{"get":{"summary":"Alive","operationId":"livez","responses":{"200":{"description":"Alive"}}}},
    "/readyz":{"get":{"summary":"Ready to answer","operationId":"readyz","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/health":{"get":{"summary":"As /readyz","operationId":"health","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/metrics":{"get":{"summary":"Prometheus text","operationId":"metrics","responses":{"200":{"description":"Metrics"}}}},
    "/openapi.json":{"get":{"summary":"This document","operationId":"openapi","responses":{"200":{"description":"OpenAPI 3.1"}}}}},
    "components":{"responses":{"Problem":{"description":"What went wrong (RFC 9457)","content":{"application/problem+json":{"schema":{"type":"object","required":["status","code","detail"],"properties":{"type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"code":{"type":"string"},"detail":{"type":"string"}}}}}}}}}
    """#
}
