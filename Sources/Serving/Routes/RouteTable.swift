import NIOHTTP1

/// The one table of a service's paths. It decides which requests are found (else 404, or 405 with `Allow`), names paths
/// in metrics, and tests compare it with the service's description.
public struct RouteTable<Endpoint: Sendable>: Sendable {
  public struct Path: Sendable {
    /// `/v1/views/{view}`
    public let name: String
    /// At least one, of different methods.
    public let routes: [Route<Endpoint>]
    /// The texts between its slashes; nil for a parameter.
    fileprivate let segments: [[UInt8]?]

    fileprivate init(_ name: String, _ routes: [Route<Endpoint>]) {
      self.name = name
      self.routes = routes
      segments = name.utf8.split(separator: 0x2F, omittingEmptySubsequences: false).map {
        $0.first == UInt8(ascii: "{") ? nil : Array($0)
      }
    }

    /// The route of a method; `HEAD` goes with `GET`.
    public func route(_ method: HTTPMethod) -> Route<Endpoint>? {
      routes.first { $0.method == method || (method == .HEAD && $0.takesHead) }
    }

    /// The `Allow` header's value.
    public var allow: String {
      routes.map { $0.takesHead ? "\($0.method.rawValue), HEAD" : $0.method.rawValue }.joined(separator: ", ")
    }
  }

  /// A path's number in the table, and the values of its `{…}`: still percent-encoded, none empty.
  public struct Match: Sendable {
    public let index: Int
    public let parameters: [Substring]
  }

  /// In the order in which they were first named; the paths that every service has come last.
  public let paths: [Path]
  /// The paths by their number of segments; paths without parameters come first.
  private let candidates: [[Int]]

  /// - Parameter routes: Each method of a path once.
  public init(_ routes: [Route<Endpoint>]) {
    let all =
      routes
      + ServiceOperation.allCases.map {
        Route(.GET, $0.rawValue, .operation($0), scope: $0 == .metrics ? .query : nil)
      }
    var paths: [Path] = []
    for route in all where !paths.contains(where: { $0.name == route.path }) {
      let routes = all.filter { $0.path == route.path }
      for (index, one) in routes.enumerated() {
        precondition(!routes[..<index].contains { $0.method == one.method }, "\(one.method) \(one.path) is there twice")
      }
      paths.append(Path(route.path, routes))
    }
    var candidates: [[Int]] = Array(repeating: [], count: (paths.map(\.segments.count).max() ?? 0) + 1)
    for index in paths.indices.sorted(by: { paths[$0].parameterCount < paths[$1].parameterCount }) {
      candidates[paths[index].segments.count].append(index)
    }
    self.paths = paths
    self.candidates = candidates
  }

  /// - Parameter path: The path, still percent-encoded.
  /// - Returns: Nil where no route has the path.
  /// - Complexity: As many comparisons as there are paths of as many segments.
  public func find(_ path: Substring) -> Match? {
    let segments = path.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
    guard segments.count < candidates.count else { return nil }
    candidate: for index in candidates[segments.count] {
      let template = paths[index].segments
      for (wanted, segment) in zip(template, segments) {
        guard let wanted else {
          guard !segment.isEmpty else { continue candidate }
          continue
        }
        guard segment.elementsEqual(wanted) else { continue candidate }
      }
      return Match(index: index, parameters: zip(template, segments).compactMap { $0 == nil ? Substring($1) : nil })
    }
    return nil
  }
}

extension RouteTable.Path {
  fileprivate var parameterCount: Int { segments.count { $0 == nil } }
}
