import Events

/// The routes of an OpenAPI document.
public enum DescribedRoutes {
  /// - Returns: Each as `GET /v1/log`, sorted.
  public static func of(_ document: JSONValue) -> [String] {
    guard case .object(let paths)? = document["paths"] else { return [] }
    var routes: [String] = []
    for path in paths {
      guard case .object(let operations) = path.value else { continue }
      routes += operations.filter { methods.contains($0.name) }.map { "\($0.name.uppercased()) \(path.name)" }
    }
    return routes.sorted()
  }

  /// The members of a path that are operations.
  private static let methods: Set = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
}
