import Compute
import Events
import LogTestSupport
import Serving
import TestSupport
import Testing
import Views

@testable import Log
@testable import Wire

@Suite("The descriptions of the mesh's services") struct DescriptionTests {
  private func check(_ routes: some WireRoutes) throws {
    let table = routes.table.paths.flatMap { path in path.routes.map { "\($0.method) \(path.name)" } }
    let document = try JSONValue(parsing: routes.openAPI)
    #expect(DescribedRoutes.of(document) == table.sorted())
    for path in routes.table.paths {
      for route in path.routes {
        let operation = document["paths"]?[path.name]?[route.method.rawValue.lowercased()]
        #expect((operation?["requestBody"] != nil) == (route.bodyBytesMax > 0), "\(route.method) \(path.name)")
        let described = Self.names(operation?["parameters"], in: "path", document)
        #expect(described == path.name.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) })
      }
    }
  }

  private static func names(_ parameters: JSONValue?, in place: String, _ document: JSONValue) -> [String] {
    guard case .array(let parameters)? = parameters else { return [] }
    return parameters.compactMap { parameter in
      var parameter: JSONValue? = parameter
      if case .string(let reference)? = parameter?["$ref"] {
        parameter = reference.dropFirst(2).split(separator: "/").reduce(document) { $0?[String($1)] }
      }
      guard parameter?["in"] == .string(place), case .string(let name)? = parameter?["name"] else { return nil }
      return name
    }
  }

  @Test("the log's OpenAPI document has every route, with its body and parameters, and no other")
  func log() async throws {
    let directory = try TemporaryDirectory()
    let log = try await SegmentedLog.open(LogConfiguration(directory: directory.path), logger: quiet)
    try check(LogRoutes(log: log))
    await log.close()
  }

  @Test("a compute instance's OpenAPI document has every route, with its body and parameters, and no other")
  func compute() async throws {
    let directory = try TemporaryDirectory()
    let log = try await SegmentedLog.open(LogConfiguration(directory: directory.path), logger: quiet)
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(directory: directory.path + "/compute"), catalog: ViewCatalog(yaml: "views: {}", file: "test"),
      log: log, record: VolatileViewsRecord(), logger: quiet)
    try check(
      ComputeRoutes(
        store: compute.reads, late: compute.reads, sources: compute.reads, admin: compute.generations,
        adHoc: AdHocAggregation(log: log, threads: 1, ComputeConfiguration(directory: ""))))
    await compute.shutDown()
    await log.close()
  }
}
