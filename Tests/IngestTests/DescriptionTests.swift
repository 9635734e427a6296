import Events
import Resources
import TestSupport
import Testing

@testable import Ingest

@Suite struct DescriptionTests {
  @Test("the OpenAPI document has every route and every reject code, and the AsyncAPI document has the same")
  func documents() throws {
    let openAPI = try JSONValue(parsing: EmbeddedFile.ingestOpenAPI.bytes)
    let table = IngestEndpoint.routes(messageBytesMax: 1).paths.flatMap { path in path.routes.map { "\($0.method) \(path.name)" } }
    #expect(DescribedRoutes.of(openAPI) == table.sorted())
    let codes = JSONValue.array(RejectCode.allCases.map { .string($0.rawValue) })
    for document in [openAPI, try JSONValue(parsing: EmbeddedFile.asyncAPI.bytes)] {
      let schemas = document["components"]?["schemas"]
      #expect(schemas?["RejectCode"]?["enum"] == codes)
      #expect(schemas?["Event"] == openAPI["components"]?["schemas"]?["Event"])
    }
  }
}
