import Testing

@testable import Mesh

@Suite struct ListedInstancesTests {
  private func entry(_ id: String, _ statuses: String...) -> ConnectHealthEntry {
    ConnectHealthEntry(
      Node: .init(Address: "10.0.0.1", Datacenter: "dc1"), Service: .init(ID: id, Address: "127.0.0.1", Port: 1),
      Checks: statuses.map { .init(Status: $0) })
  }

  @Test("one whose check fails is dialled for a moment still; one that is gone, or never passed, is not")
  func grace() {
    let start = ContinuousClock.now
    var listed = ListedInstances()
    listed.take([entry("a", "passing", "passing"), entry("b", "passing"), entry("c", "critical")], at: start)
    #expect(listed.instances.map(\.id) == ["a", "b"] && !listed.hasFailing)
    // Long after, one fails and one is deregistered.
    let later = start + .seconds(60)
    listed.take([entry("a", "passing", "critical"), entry("c", "warning")], at: later)
    #expect(listed.instances.map(\.id) == ["a"] && listed.hasFailing)
    listed.expire(at: later + ListedInstances.grace - .milliseconds(1))
    #expect(listed.instances.map(\.id) == ["a"])
    listed.expire(at: later + ListedInstances.grace)
    #expect(listed.instances.isEmpty && !listed.hasFailing)
    listed.take([entry("a", "passing", "passing")], at: later + .seconds(9))
    #expect(listed.instances.map(\.id) == ["a"])
  }
}
