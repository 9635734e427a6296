#if Secure
  import Synchronization
  import Testing

  @testable import Mesh

  @Suite("Callers' intentions") struct CallerIntentionsTests {
    @Test("a service with the least policy hears within a second of what is withdrawn from its callers, and of nothing else")
    func withdrawn() async throws {
      let stage = try await Stage(.compute, acls: true)
      let callers = CallerIntentions(of: .log, client: try await stage.client(of: .log), logger: stage.logger)
      let heard = Counter()
      let running = Task { await callers.run { heard.increment() } }
      defer { running.cancel() }
      // The first answer is no news: a deny that is heard of shows that it has come.
      #expect(
        await eventually {
          do {
            try await stage.consul.run(["intention", "create", "-replace", "-deny", "stranger", "penstock-log"])
            if await eventually(within: .milliseconds(500), { heard.value > 0 }) { return true }
            try await stage.consul.run(["intention", "delete", "stranger", "penstock-log"])
          } catch { Issue.record(error) }
          return false
        })
      let before = heard.value
      // Not about the log, and then more allowed than before.
      try await stage.consul.run(["intention", "delete", "penstock-query", "penstock-compute"])
      try await stage.consul.run(["intention", "create", "-allow", "another", "penstock-log"])
      try await stage.consul.run(["intention", "delete", "penstock-query", "penstock-log"])
      #expect(await eventually(within: .seconds(1)) { heard.value > before })
      #expect(heard.value == before + 1)
      // An allow that turns into a deny.
      try await stage.consul.run(["intention", "create", "-replace", "-deny", "penstock-ingest", "penstock-log"])
      #expect(await eventually(within: .seconds(1)) { heard.value == before + 2 })
    }
  }

  private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func increment() { count.withLock { $0 += 1 } }
  }
#endif
