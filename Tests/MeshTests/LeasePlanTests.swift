import TestSupport
import Testing

@testable import Mesh

@Suite struct LeasePlanTests {
  /// Any partitions, members and leases, of members and of those who are gone.
  private func state(_ generator: inout SeededGenerator) -> (partitions: Int, members: Set<String>, current: [Int: String]) {
    let partitions = Int.random(in: 1...40, using: &generator)
    let members = Set((0..<Int.random(in: 1...6, using: &generator)).map { "m\($0)" })
    var current: [Int: String] = [:]
    for partition in 0..<partitions where Bool.random(using: &generator) {
      current[partition] = "m\(Int.random(in: 0..<8, using: &generator))"
    }
    return (partitions, members, current)
  }

  @Test("every partition has an owner, shares differ by one at most, and no partition moves that need not", arguments: 0..<300)
  func fair(_ seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let (partitions, members, current) = state(&generator)
    let plan = LeasePlan(partitions: partitions, members: members, current: current)
    #expect(Set(plan.owners.keys) == Set(0..<partitions), "seed \(seed)")
    #expect(Set(plan.owners.values).isSubset(of: members))
    let (share, extra) = partitions.quotientAndRemainder(dividingBy: members.count)
    let counts = members.map { plan.partitions(of: $0).count }.sorted(by: >)
    #expect(counts == (0..<members.count).map { share + ($0 < extra ? 1 : 0) })

    let held = members.map { member in current.values.count { $0 == member } }.sorted(by: >)
    let mustMove = held.enumerated().reduce(0) { $0 + max(0, $1.element - share - ($1.offset < extra ? 1 : 0)) }
    let moved = (0..<partitions).count { current[$0].map(members.contains) == true && current[$0] != plan.owners[$0] }
    #expect(moved == mustMove, "seed \(seed)")
  }

  @Test("a plan carried out in any order, step by step, is the plan still", arguments: 0..<200)
  func stable(_ seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    var (partitions, members, current) = state(&generator)
    let plan = LeasePlan(partitions: partitions, members: members, current: current)
    // Leases of those who are gone end first; then each gives up and takes as it comes to it.
    current = current.filter { members.contains($0.value) }
    var steps = (0..<partitions).filter { current[$0] != plan.owners[$0] }.shuffled(using: &generator)
    var givenUp: [Int] = []
    while !steps.isEmpty || !givenUp.isEmpty {
      if let step = steps.popLast() {
        current[step] = nil
        givenUp.append(step)
      } else if let step = givenUp.popLast() {
        current[step] = plan.owners[step]
      }
      #expect(LeasePlan(partitions: partitions, members: members, current: current).owners.count == partitions)
    }
    #expect(LeasePlan(partitions: partitions, members: members, current: current) == plan, "seed \(seed)")
  }

  @Test("nobody there owns nothing; one alone owns all")
  func edges() {
    #expect(LeasePlan(partitions: 8, members: [String](), current: [0: "gone"]).owners == [:])
    #expect(LeasePlan(partitions: 8, members: ["a"], current: [3: "gone"]).partitions(of: "a") == Set(0..<8))
  }
}

@Suite struct SpiffeIDTests {
  @Test("only the very service matches, in its trust domain and datacenter")
  func matches() {
    let id = SpiffeID(trustDomain: "ABC.consul", datacenter: "dc1", service: "penstock-log")
    #expect(id.matches("spiffe://abc.consul/ns/default/dc/dc1/svc/penstock-log"))
    for other in [
      "spiffe://abc.consul/ns/default/dc/dc1/svc/penstock-log2", "spiffe://abc.consul/ns/default/dc/dc2/svc/penstock-log",
      "spiffe://abd.consul/ns/default/dc/dc1/svc/penstock-log", "spiffe://abc.consul/ns/other/dc/dc1/svc/penstock-log",
      "https://abc.consul/ns/default/dc/dc1/svc/penstock-log", "spiffe://abc.consul/ns/default/dc/dc1/svc/penstock-log/", "",
      "spiffe:///ns/default/dc/dc1/svc/penstock-log",
    ] { #expect(!id.matches(other), "\(other)") }
  }
}
