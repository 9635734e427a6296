import Testing

@testable import Mesh

@Suite struct MeshServiceTests {
  @Test("services are named as Consul knows them")
  func names() {
    #expect(
      MeshService.allCases.map(\.rawValue) == ["penstock-ingest", "penstock-log", "penstock-compute", "penstock-query"])
  }
}
