import Logging

/// Watches who may call a service of ours, and reports when a caller may no longer.
///
/// A sidecar checks intentions only when a connection begins, and does not say who called. So a service that hears of a
/// withdrawal ends all its connections; callers that are still allowed come again through the sidecar.
public final class CallerIntentions: Sendable {
  private let service: MeshService
  private let client: ConsulClient
  private let logger: Logger

  /// - Parameters:
  ///   - service: The called service. The client's token has to permit `service:read` on it.
  ///   - client: The local agent.
  ///   - logger: Logs withdrawals.
  public init(of service: MeshService, client: ConsulClient, logger: Logger) {
    self.service = service
    self.client = client
    self.logger = logger
  }

  /// Calls `withdrawn` whenever a rule that allowed a caller is gone or denies, or a new one denies, until the task is cancelled.
  /// While the servers can't be asked, it is not called; withdrawals of that time are reported afterwards.
  /// - Parameter withdrawn: Never called twice at a time. The rules are watched while it runs; withdrawals meanwhile cause one
  ///   more call.
  public func run(_ withdrawn: @escaping @Sendable () async -> Void) async {
    let (news, tell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    await withDiscardingTaskGroup { group in
      group.addTask { for await _ in news { await withdrawn() } }
      var before: CallerRules?
      await client.watch("/v1/connect/intentions", mayMiss: true) { response, request throws(ConsulError) in
        let all = response.status == 404 ? [] : try self.client.decode([Intention]?.self, response, of: request) ?? []
        let now = CallerRules(all, of: self.service, index: response.index ?? 0)
        defer { before = now }
        guard let before, now.withdraws(from: before) else { return }
        self.logger.notice("an intention to \(self.service.rawValue) was withdrawn: its connections are ended")
        tell.yield()
      }
      group.cancelAll()
    }
  }
}

/// The intentions as they were at one time.
struct CallerRules {
  private struct Edge: Hashable {
    var source: String
    var destination: String
  }

  private var all: [Intention]
  private var allowed: Set<Edge> = []
  private var denied: Set<Edge> = []
  /// The intentions about the service, as they were last made or changed.
  private var ours: Set<Intention> = []
  private var index: UInt64

  /// - Parameter index: The table's index: it rises with every change.
  init(_ all: [Intention], of service: MeshService, index: UInt64) {
    self.all = all.sorted { ($0.SourceName, $0.DestinationName) < ($1.SourceName, $1.DestinationName) }
    self.index = index
    for one in all where one.DestinationName == service.rawValue || one.DestinationName == "*" {
      let edge = Edge(source: one.SourceName, destination: one.DestinationName)
      ours.insert(one)
      if one.isDenying { denied.insert(edge) } else { allowed.insert(edge) }
    }
  }

  /// Whether a caller that the rules allowed before may no longer call, or may have been turned away in between. A rule withdrawn
  /// and allowed again so soon shows only in the table's index or the rule's number.
  func withdraws(from before: CallerRules) -> Bool {
    if !before.allowed.isSubset(of: allowed) || !denied.isSubset(of: before.denied) { return true }
    guard before.allowed == allowed, before.denied == denied else { return false }
    return before.ours != ours || (before.all == all && before.index != index)
  }
}

/// One entry of `GET /v1/connect/intentions`.
struct Intention: Decodable, Hashable {
  /// Empty in a later Consul, whose entries of one destination change together.
  var ID: String?
  var SourceName: String
  var DestinationName: String
  /// Nil where permissions of requests stand in its place (Consul 1.9).
  var Action: String?
  var ModifyIndex: UInt64?

  var isDenying: Bool { Action == "deny" }
}
