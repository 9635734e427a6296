import Logging

/// A worker's actions when it is given partitions or loses them.
public protocol LeaseHolder: Sendable {
  /// These partitions are leased from now on; the fence says so already. Returns when the worker answers for them.
  func acquired(_ partitions: Set<Int>) async
  /// These partitions are to go to another worker. Returns when their state is checkpointed. They are still leased, and the
  /// worker still answers for them.
  func handOver(_ partitions: Set<Int>) async
  /// The leases on these partitions are gone: another worker may have them already. Nothing may be stored for them; the worker
  /// still answers from its memory.
  func lost(_ partitions: Set<Int>) async
  /// Another worker answers for these partitions now, after they were handed over or lost: the worker lets go of them.
  func release(_ partitions: Set<Int>) async
}

public struct LeaseConfiguration: Sendable, Hashable {
  /// The instance's id, as registered.
  public var member: String
  /// The number of the log's partitions, 1 or more.
  public var partitions: Int
  /// The TTL of the sign of life, as in the instance's registration; a sign is sent every quarter of it.
  public var ttl: Duration
  /// It can be short: the fence of a worker that lost its lease has said no before Consul ends the lease.
  public var lockDelay = Duration.milliseconds(100)
  /// The prefix of the keys: `<prefix>/members/<id>` and `<prefix>/partitions/<number>`.
  public var prefix = prefixDefault
  public static let prefixDefault = "penstock/compute"

  public init(member: String, partitions: Int, ttl: Duration = .seconds(2)) {
    precondition(partitions > 0, "a log has partitions")
    self.member = member
    self.partitions = partitions
    self.ttl = ttl
  }
}

/// Leases a fair share of the partitions through Consul, for as long as it runs.
///
/// All workers watch all keys; each computes the same plan from them (`LeasePlan`), gives up its surplus, and locks partitions
/// that are free and its own by the plan. A worker that dies stops giving signs of life: its session ends within the TTL, its
/// keys go, and after LockDelay the others take its partitions.
///
/// A worker that takes a partition marks its key once it answers for it. Until then the former owner, if it lives, still answers.
public actor PartitionLeases {
  /// The flag of a partition's key whose owner answers for the partition.
  static let answersFlag: UInt64 = 1
  /// How long the former owner answers beside the new one: a read may have asked the one too early and asks the other too late.
  static let besideTime = Duration.seconds(1)
  /// The longest that a leaving worker waits for others to answer for its partitions.
  static let leavingMax = Duration.seconds(10)
  private static let retryInterval = Duration.milliseconds(100)

  public nonisolated let fence = LeaseFence()
  private let configuration: LeaseConfiguration
  private let client: ConsulClient
  private let registration: MeshRegistration
  private let holder: any LeaseHolder
  private let isReachable: @Sendable () async -> Bool
  private let logger: Logger
  /// Whether others reach this instance, so that it takes part.
  private var isOpen = false
  private var session: String?
  /// One of our sessions, which the servers say has ended.
  private var ended: String?
  /// The keys as last seen, and their index; nil before the first sight.
  private var seen: (entries: [KVEntry], index: UInt64)?
  /// The leased partitions whose keys say that we answer for them.
  private var marked: Set<Int> = []
  /// The partitions handed over or lost, and since when another worker answers for each; nil while nobody does.
  private var outgoing: [Int: ContinuousClock.Instant?] = [:]

  /// - Parameters:
  ///   - configuration: The keys, and how long a lease is certain.
  ///   - client: The client of the local agent.
  ///   - registration: The registration whose checks the session is bound to.
  ///   - holder: Takes partitions and lets them go.
  ///   - isReachable: Whether others can call this instance now. Asked until it says yes: nothing is leased before.
  ///   - logger: Logs each change.
  public init(
    _ configuration: LeaseConfiguration, client: ConsulClient, registration: MeshRegistration, holder: any LeaseHolder,
    isReachable: @escaping @Sendable () async -> Bool = { true }, logger: Logger
  ) {
    self.isReachable = isReachable
    self.configuration = configuration
    self.client = client
    self.registration = registration
    self.holder = holder
    self.logger = logger
  }

  /// Nil while no session is open.
  var sessionID: String? { session }

  /// Takes part until the task is cancelled; then gives everything back in order. The registration has to run meanwhile.
  public func run() async {
    // The buffer has one element: after several wake-ups, one look at the newest keys is enough.
    let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    await withDiscardingTaskGroup { group in
      group.addTask { await self.giveLifeSigns(wake) }
      group.addTask { await self.askServers(wake) }
      group.addTask {
        guard await self.waitUntilReachable() else { return }
        wake.yield()
      }
      group.addTask {
        await self.client.watchKeys(below: self.configuration.prefix + "/") { entries, index in
          await self.see(entries, as: index)
          wake.yield()
        }
      }
      for await _ in wakes {
        guard !Task.isCancelled else { break }
        if await !settle() {
          // Some request is still refused: LockDelay, or servers without a leader.
          group.addTask {
            if await slept(PartitionLeases.retryInterval) { wake.yield() }
          }
        }
      }
      group.cancelAll()
    }
    // The task is cancelled, and so would its requests be: leaving is a task of its own.
    await Task { await self.leave() }.value
  }

  private func see(_ entries: [KVEntry], as index: UInt64) { seen = (entries, index) }

  /// - Returns: False if the task was cancelled.
  private func waitUntilReachable() async -> Bool {
    let start = ContinuousClock.now
    var warned = start
    while await !isReachable() {
      guard await slept(PartitionLeases.retryInterval) else { return false }
      guard ContinuousClock.now - warned > .seconds(10) else { continue }
      warned = .now
      logger.warning(
        "no partitions are leased yet: \(configuration.member) is not listed as passing after \(warned - start); does its sidecar run?"
      )
    }
    isOpen = true
    return true
  }

  // MARK: Staying alive

  private func giveLifeSigns(_ wake: AsyncStream<Void>.Continuation) async {
    let check = ServiceDefinition.lifeSignCheck(of: configuration.member)
    repeat {
      let sent = ContinuousClock.now
      do throws(ConsulError) {
        try await client.pass(check: check, timeout: configuration.ttl / 2)
        fence.extend(lifeSignUntil: sent + configuration.ttl)
        if session == nil { wake.yield() }
      } catch {
        if error.code == .cancelled { return }
        logger.debug("life sign: \(error)")
        if error.code == .failed || error.code == .missing { await registerAgain() }
      }
    } while await slept(configuration.ttl / 4)
  }

  /// The agent knows no such check: it was restarted.
  private func registerAgain() async {
    do throws(ConsulError) { try await registration.register() } catch { logger.debug("registering again: \(error)") }
  }

  private func askServers(_ wake: AsyncStream<Void>.Continuation) async {
    while await slept(.milliseconds(500)) {
      guard let session else { continue }
      let asked = ContinuousClock.now
      do throws(ConsulError) {
        let check = KVOperation(verb: .checkSession, key: memberKey, session: session)
        if try await client.transact([check], timeout: .seconds(1)) != nil {
          fence.extend(serversUntil: asked + LeaseFence.serversMax)
        } else if self.session == session {
          fence.expire()
          ended = session
          wake.yield()
        }
      } catch {
        if error.code == .cancelled { return }
        logger.debug("lease check: \(error)")
      }
    }
  }

  // MARK: Settling

  private var memberKey: String { "\(configuration.prefix)/members/\(configuration.member)" }
  private func partitionKey(_ partition: Int) -> String { "\(configuration.prefix)/partitions/\(partition)" }

  /// Acts on the keys last seen. Only this method takes, gives or loses leases, and never twice at a time.
  /// - Returns: False if something is left to try again soon.
  private func settle() async -> Bool {
    guard let seen else { return true }
    let isBeside = await releaseAnswered(Keys(seen.entries, configuration, memberKey: memberKey))
    guard isOpen else { return true }
    if let ended, ended == session { await lose("the session has ended") }
    let keys = Keys(seen.entries, configuration, memberKey: memberKey)
    do throws(ConsulError) {
      guard let session = try await ensureSession(keys) else { return false }
      var owners = keys.owners
      for (partition, token) in fence.tokens where owners[partition]?.session != session {
        guard seen.index < token else {
          await lose("partition \(partition) is leased to \(owners[partition]?.member ?? "nobody")")
          return false
        }
        // The watch has not caught up with our own lock.
        owners[partition] = (configuration.member, session)
      }
      let plan = LeasePlan(
        partitions: configuration.partitions, members: keys.members.union([configuration.member]),
        current: owners.mapValues(\.member))
      let mine = plan.partitions(of: configuration.member)
      let surplus = fence.partitions.subtracting(mine)
      if !surplus.isEmpty { try await give(surplus, session) }
      let hasTaken = try await take(mine.subtracting(fence.partitions).filter { owners[$0] == nil }, session)
      try await mark(session)
      return hasTaken && !isBeside
    } catch {
      if error.code != .cancelled { logger.warning("leases: \(error)") }
      return false
    }
  }

  /// The state of all partitions' keys, as Consul shows it.
  private struct Keys {
    var members: Set<String> = []
    var owners: [Int: (member: String, session: String)] = [:]
    /// The partitions whose owners answer for them.
    var answered: Set<Int> = []
    /// The session under our own member key.
    var own: String?

    init(_ entries: [KVEntry], _ configuration: LeaseConfiguration, memberKey: String) {
      let memberPrefix = "\(configuration.prefix)/members/"
      let partitionPrefix = "\(configuration.prefix)/partitions/"
      for entry in entries {
        // A key without a session belongs to nobody: someone wrote it by hand.
        guard let session = entry.Session else { continue }
        if entry.Key == memberKey { own = session }
        if entry.Key.hasPrefix(memberPrefix) {
          members.insert(String(entry.Key.dropFirst(memberPrefix.count)))
        } else if entry.Key.hasPrefix(partitionPrefix), let partition = Int(entry.Key.dropFirst(partitionPrefix.count)),
          (0..<configuration.partitions).contains(partition)
        {
          owners[partition] = (entry.text, session)
          if entry.Flags == PartitionLeases.answersFlag { answered.insert(partition) }
        }
      }
    }
  }

  private func ensureSession(_ keys: Keys) async throws(ConsulError) -> String? {
    if let session { return session }
    // An earlier life of this instance, killed: its session hangs on the same check, which we pass, so it would never end by
    // itself.
    if let own = keys.own, own != ended { try await client.destroySession(own) }
    let created = try await client.createSession(
      name: configuration.member, check: ServiceDefinition.lifeSignCheck(of: configuration.member),
      lockDelay: configuration.lockDelay)
    let asked = ContinuousClock.now
    let lock = KVOperation(verb: .lock, key: memberKey, value: configuration.member, session: created)
    guard try await client.transact([lock]) != nil else {
      // LockDelay, after a session of ours before.
      try await client.destroySession(created)
      return nil
    }
    session = created
    fence.extend(serversUntil: asked + LeaseFence.serversMax)
    logger.info("joined as \(configuration.member)")
    return created
  }

  /// - Returns: Whether all were given.
  private func take(_ wanted: Set<Int>, _ session: String) async throws(ConsulError) -> Bool {
    var taken: Set<Int> = []
    for partition in wanted.sorted() {
      // One partition at a time: one that LockDelay holds back must not hold back the others.
      let lock = KVOperation(
        verb: .lock, key: partitionKey(partition), value: configuration.member, session: session)
      let alive = KVOperation(verb: .checkSession, key: memberKey, session: session)
      guard let entries = try await client.transact([alive, lock]), let key = entries.first(where: { $0.Key == lock.key })
      else { continue }
      fence.add(partition, token: key.ModifyIndex)
      taken.insert(partition)
      outgoing[partition] = nil
    }
    if !taken.isEmpty {
      logger.info("partitions leased: \(taken.sorted())")
      await holder.acquired(taken)
    }
    return taken.count == wanted.count
  }

  /// Marks the keys of our partitions, since `take` has returned: we answer for them.
  private func mark(_ session: String) async throws(ConsulError) {
    var rest = fence.partitions.subtracting(marked).sorted()[...]
    while !rest.isEmpty {
      let some = rest.prefix(60)
      rest = rest.dropFirst(some.count)
      let locks = some.map {
        KVOperation(
          verb: .lock, key: partitionKey($0), value: configuration.member, session: session, flags: PartitionLeases.answersFlag)
      }
      // Refused if the session has ended: then the next look at the keys says so.
      if try await client.transact(locks) != nil { marked.formUnion(some) }
    }
  }

  private func give(_ partitions: Set<Int>, _ session: String) async throws(ConsulError) {
    await holder.handOver(partitions)
    logger.info("partitions given up: \(partitions.sorted())")
    for partition in partitions.sorted() {
      fence.remove(partition)
      marked.remove(partition)
      outgoing[partition] = .some(nil)
      let key = partitionKey(partition)
      // Refused if another has the lease meanwhile: then there is nothing of ours to give.
      _ = try await client.transact([
        KVOperation(verb: .checkSession, key: key, session: session), KVOperation(verb: .delete, key: key),
      ])
    }
  }

  private func lose(_ why: String) async {
    session = nil
    fence.expire()
    let lost = fence.removeAll()
    marked = []
    guard !lost.isEmpty else { return }
    for partition in lost { outgoing[partition] = .some(nil) }
    logger.warning("leases on \(lost.sorted()) lost: \(why)")
    await holder.lost(lost)
  }

  /// Lets go of partitions that another has answered for long enough.
  /// - Returns: Whether both still answer for some partition.
  private func releaseAnswered(_ keys: Keys) async -> Bool {
    let now = ContinuousClock.now
    var done: Set<Int> = []
    for (partition, since) in outgoing {
      guard let owner = keys.owners[partition], owner.session != session, keys.answered.contains(partition) else {
        outgoing[partition] = .some(nil)
        continue
      }
      outgoing[partition] = .some(since ?? now)
      if now - (since ?? now) >= PartitionLeases.besideTime { done.insert(partition) }
    }
    for partition in done { outgoing[partition] = nil }
    if !done.isEmpty { await holder.release(done) }
    return outgoing.values.contains { $0 != nil }
  }

  private func leave() async {
    if let session {
      do throws(ConsulError) {
        // The membership goes first: the others plan without this worker, and take what it gives.
        let isOurs = KVOperation(verb: .checkSession, key: memberKey, session: session)
        _ = try await client.transact([isOurs, KVOperation(verb: .delete, key: memberKey)])
        try await give(fence.partitions, session)
        try await waitForHeirs()
        try await client.destroySession(session)
        self.session = nil
      } catch {
        logger.warning("leaving: \(error); the session ends by itself within \(configuration.ttl)")
      }
    }
    let left = Set(outgoing.keys)
    outgoing = [:]
    if !left.isEmpty { await holder.release(left) }
  }

  /// Still answers, and gives signs of life, until others answer for all partitions given up, if there are others.
  private func waitForHeirs() async throws(ConsulError) {
    let deadline = ContinuousClock.now + PartitionLeases.leavingMax
    while !outgoing.isEmpty, ContinuousClock.now < deadline {
      try await client.pass(check: ServiceDefinition.lifeSignCheck(of: configuration.member), timeout: configuration.ttl / 2)
      let keys = Keys(try await client.keys(below: configuration.prefix + "/"), configuration, memberKey: memberKey)
      guard !keys.members.isEmpty else { return }
      _ = await releaseAnswered(keys)
      guard await slept(.milliseconds(50)) else { return }
    }
    if !outgoing.isEmpty { logger.warning("leaving, and nobody answers for partitions \(outgoing.keys.sorted()) yet") }
  }
}
