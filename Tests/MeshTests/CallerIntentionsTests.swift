#if Secure
  import Synchronization
  import Testing

  @testable import Mesh

  @Suite("Callers' intentions") struct CallerIntentionsTests {
    @Test("a service with the least policy hears of what is withdrawn from its callers, and of nothing else")
    func withdrawn() async throws {
      let stage = try await Stage(.compute, acls: true)
      let callers = CallerIntentions(of: .log, client: try await stage.client(of: .log), logger: stage.logger)
      let heard = Counter()
      let running = Task { await callers.run { heard.increment() } }
      defer { running.cancel() }
      // The first answer is no news: a deny that is heard of shows that it has come.
      #expect(
        await eventually(within: .seconds(60)) {
          do {
            try await stage.consul.run(["intention", "create", "-replace", "-deny", "stranger", "penstock-log"])
            // Long enough: a deny that is heard of later than this would count beside the next.
            if await eventually(within: .seconds(10), { heard.value > 0 }) { return true }
            try await stage.consul.run(["intention", "delete", "stranger", "penstock-log"])
          } catch { Issue.record(error) }
          return false
        })
      let before = heard.value
      // Not about the log, and then more allowed than before.
      try await stage.consul.run(["intention", "delete", "penstock-query", "penstock-compute"])
      try await stage.consul.run(["intention", "create", "-allow", "another", "penstock-log"])
      try await stage.consul.run(["intention", "delete", "penstock-query", "penstock-log"])
      #expect(await eventually { heard.value > before })
      #expect(heard.value == before + 1)
      // An allow that turns into a deny.
      try await stage.consul.run(["intention", "create", "-replace", "-deny", "penstock-ingest", "penstock-log"])
      #expect(await eventually { heard.value == before + 2 })
    }
  }

  @Suite("Callers' rules") struct CallerRulesTests {
    private func rules(_ edges: [(String, String, String, UInt64)], index: UInt64) -> CallerRules {
      CallerRules(
        edges.map { Intention(ID: "\($0.3)", SourceName: $0.0, DestinationName: $0.1, Action: $0.2, ModifyIndex: $0.3) },
        of: .log,
        index: index)
    }

    @Test("what takes a caller's right away is seen, also when it was given back before anybody looked")
    func withdrawals() {
      let before = rules([("*", "*", "deny", 1), ("penstock-query", "penstock-log", "allow", 2)], index: 2)
      func withdraws(_ edges: [(String, String, String, UInt64)], index: UInt64) -> Bool {
        rules([("*", "*", "deny", 1)] + edges, index: index).withdraws(from: before)
      }
      #expect(withdraws([], index: 3), "gone")
      #expect(withdraws([("penstock-query", "penstock-log", "deny", 3)], index: 3), "denied")
      #expect(withdraws([("penstock-query", "penstock-log", "allow", 4)], index: 4), "withdrawn and allowed in between")
      #expect(
        withdraws([("penstock-query", "penstock-log", "allow", 2)], index: 4), "something was allowed and withdrawn in between")
      #expect(
        withdraws([("penstock-query", "penstock-log", "allow", 2), ("other", "penstock-log", "deny", 3)], index: 3),
        "a new denial")
    }

    @Test("what gives rights, or is about others, ends nobody's connections")
    func others() {
      let before = rules([("penstock-query", "penstock-log", "allow", 2), ("a", "b", "allow", 1)], index: 2)
      let query = ("penstock-query", "penstock-log", "allow", UInt64(2))
      #expect(!rules([query, ("a", "b", "allow", 1), ("other", "penstock-log", "allow", 3)], index: 3).withdraws(from: before))
      #expect(!rules([query], index: 3).withdraws(from: before), "another service's rule is gone")
      #expect(!rules([query, ("a", "b", "deny", 3)], index: 3).withdraws(from: before))
      #expect(!rules([query, ("a", "b", "allow", 1)], index: 2).withdraws(from: before), "read once more")
    }
  }

  private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func increment() { count.withLock { $0 += 1 } }
  }
#endif
