import Events
import NIOCore
import NIOHTTP1
import Views

/// A compute instance's routes: what `RemoteViewStore` and `RemoteViewAdmin` ask. docs/wire.md describes them.
public struct ComputeRoutes: WireRoutes {
  private let store: any ViewStore
  private let late: (any LateEventStore)?
  private let admin: (any ViewAdmin)?
  private let generationsVersion: @Sendable () -> UInt64

  /// - Parameters:
  ///   - store: Answers for the instance's partitions.
  ///   - late: Lists their late events; nil where nobody keeps them.
  ///   - admin: Changes and compares generations; nil where that is not offered.
  ///   - generationsVersion: Of the table of generations that the instance goes by; 0 where none is shared.
  public init(
    store: any ViewStore, late: (any LateEventStore)? = nil, admin: (any ViewAdmin)? = nil,
    generationsVersion: @escaping @Sendable () -> UInt64 = { 0 }
  ) {
    self.store = store
    self.late = late
    self.admin = admin
    self.generationsVersion = generationsVersion
  }

  var version: UInt64 { generationsVersion() }

  public func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int {
    guard method == .POST else { return 0 }
    return path == "/v1/compute/apply" ? 2 * ViewCatalog.fileBytesMax : 256 << 10
  }
  public var openAPI: String { ComputeOpenAPI.document }

  public func answer(_ request: WireRequest) async -> WireResponse {
    do throws(ViewStoreError) {
      switch (request.method, request.path) {
      case (.GET, "/v1/compute/views"):
        return WireResponse(["views": .array(try await store.views().map(\.json))])
      case (.POST, "/v1/compute/read"): return try await read(request)
      case (.POST, "/v1/compute/late"):
        guard let late else { return LogRoutes.notFound(request) }
        guard let wanted = ComputeRoutes.json(request).flatMap({ LateReadRequest(json: $0) }) else {
          return ComputeRoutes.bad(request)
        }
        return WireResponse(try await late.late(wanted).json)
      default:
        if let admin, let answer = try await self.admin(request, admin) { return answer }
        return LogRoutes.notFound(request)
      }
    } catch {
      return error.response
    }
  }

  private func read(_ request: WireRequest) async throws(ViewStoreError) -> WireResponse {
    guard let json = ComputeRoutes.json(request), var wanted = ViewReadRequest(json: json) else {
      return ComputeRoutes.bad(request)
    }
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

/// A compute instance's OpenAPI document.
enum ComputeOpenAPI {
  static let document = #"""
    {"openapi":"3.1.0","info":{"title":"Penstock compute","version":"1","description":"Views of some partitions, as the query service asks for them. Bodies are described byte by byte in docs/wire.md."},
    "paths":{
    "/v1/compute/views":{"get":{"summary":"Every view and how far each partition of this instance has come","operationId":"views","responses":{"200":{"description":"The views"}}}},
    "/v1/compute/read":{"post":{"summary":"Rows of a view, their aggregates still open to merging","operationId":"read","responses":{"200":{"description":"Rows","content":{"application/vnd.penstock.rows":{}}},"404":{"$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"},"504":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/late":{"post":{"summary":"Late events of this instance's partitions","operationId":"late","responses":{"200":{"description":"Late events"},"404":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/generations":{"get":{"summary":"Generations of a view, as far as this instance has come","operationId":"generations","parameters":[{"name":"view","in":"query","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"Generations, and the version of their table"},"404":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/apply":{"post":{"summary":"Make views be what a file says","operationId":"apply","responses":{"200":{"description":"What was done"},"409":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/replay":{"post":{"summary":"Begin a generation","operationId":"replay","responses":{"200":{"description":"The generation"},"409":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/estimate":{"post":{"summary":"What a replay would take","operationId":"estimate","responses":{"200":{"description":"Events and their rate"}}}},
    "/v1/compute/promote":{"post":{"summary":"Make a generation the live one","operationId":"promote","responses":{"200":{"description":"The generation"},"409":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/rollback":{"post":{"summary":"Make the previous generation live again","operationId":"rollback","responses":{"200":{"description":"The generation"},"409":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/drop":{"post":{"summary":"End a generation","operationId":"drop","responses":{"200":{"description":"The generation"},"409":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/compute/pinned":{"post":{"summary":"Rows of two generations as of the same offsets, of this instance's partitions","operationId":"pinned","responses":{"200":{"description":"Rows, twice","content":{"application/vnd.penstock.rows":{}}}}}},
    "/v1/compute/verify":{"post":{"summary":"Compute a generation of this instance's partitions once more, and compare","operationId":"verify","responses":{"200":{"description":"The comparison"}}}},
    "/livez":{"get":{"summary":"Alive","operationId":"livez","responses":{"200":{"description":"Alive"}}}},
    "/readyz":{"get":{"summary":"Ready to answer","operationId":"readyz","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/health":{"get":{"summary":"As /readyz","operationId":"health","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/metrics":{"get":{"summary":"Prometheus text","operationId":"metrics","responses":{"200":{"description":"Metrics"}}}},
    "/openapi.json":{"get":{"summary":"This document","operationId":"openapi","responses":{"200":{"description":"OpenAPI 3.1"}}}}},
    "components":{"responses":{"Problem":{"description":"What went wrong (RFC 9457)","content":{"application/problem+json":{"schema":{"type":"object","required":["status","code","detail"],"properties":{"type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"code":{"type":"string"},"detail":{"type":"string"}}}}}}}}}
    """#
}
