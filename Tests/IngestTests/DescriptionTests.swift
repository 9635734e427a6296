import Events
import Resources
import Testing

@testable import Ingest

@Suite struct DescriptionTests {
  @Test("the OpenAPI document has every route and every reject code, and the AsyncAPI document has the same")
  func documents() throws {
    let openAPI = try JSONValue(parsing: EmbeddedFile.ingestOpenAPI.bytes)
    guard case .object(let paths)? = openAPI["paths"] else {
      Issue.record("no paths")
      return
    }
    #expect(Set(paths.map(\.name)) == Set(IngestEndpoint.routes(messageBytesMax: 1).paths.map(\.name)))
    let codes = JSONValue.array(RejectCode.allCases.map { .string($0.rawValue) })
    for document in [openAPI, try JSONValue(parsing: EmbeddedFile.asyncAPI.bytes)] {
      let schemas = document["components"]?["schemas"]
      #expect(schemas?["RejectCode"]?["enum"] == codes)
      #expect(schemas?["Event"] == openAPI["components"]?["schemas"]?["Event"])
    }
  }
}
