/// The services of Penstock, each a process of the mesh.
enum ServiceName: String, Sendable, CaseIterable {
  case ingest, log, compute, query
}
