import Testing

@testable import Mesh

@Suite struct MeshOverviewTests {
  private func entry(_ id: String, of destination: String? = nil, port: Int, _ statuses: String...) -> ConnectHealthEntry {
    ConnectHealthEntry(
      Node: .init(Address: "10.0.0.1", Datacenter: "dc1"),
      Service: .init(ID: id, Address: "127.0.0.1", Port: port, Proxy: destination.map { .init(DestinationServiceID: $0) }),
      Checks: statuses.map { .init(Status: $0) })
  }

  @Test("an instance is as well as its worst check, its sidecar's too, and has what is leased to it")
  func overview() {
    var overview = MeshOverview()
    overview.add(
      .query, own: [entry("query-1", port: 8080, "passing")], sidecars: [])
    overview.add(
      .compute,
      own: [
        entry("c2", port: 1, "passing", "critical", "warning"), entry("c1", port: 2, "passing"), entry("c3", port: 5, "passing"),
      ],
      sidecars: [
        entry("c1-sidecar-proxy", of: "c1", port: 3, "warning", "passing"),
        entry("c2-sidecar-proxy", of: "c2", port: 4, "passing"),
      ])
    overview.add([3: "c1", 0: "c1", 1: "c2", 2: "gone"])
    #expect(overview.instances.map(\.id) == ["c1", "c2", "c3", "query-1"])
    #expect(overview.instances.map(\.health) == ["warning", "critical", "passing", "passing"])
    #expect(overview.instances.map(\.address) == ["127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:8080"])
    #expect(overview.instances.map(\.partitions) == [[0, 3], [1], [], []])
  }
}
