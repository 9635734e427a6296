/// The four services of the mesh, by the names Consul knows them by.
public enum MeshService: String, Sendable, CaseIterable {
  case ingest = "penstock-ingest"
  case log = "penstock-log"
  case compute = "penstock-compute"
  case query = "penstock-query"
}
