import Logging

/// What a worker does with the partitions it is given.
public protocol LeaseHolder: Sendable {
  /// The leases on these are held from now on; the fence says so already. Returns when the worker has begun.
  func acquired(_ partitions: Set<Int>) async
  /// These are to go to another: returns when their state is checkpointed and no more will be done for them. The leases are still held.
  func release(_ partitions: Set<Int>) async
  /// The leases on these are gone: another may own them already. Nothing may be checkpointed or answered for them.
  func lost(_ partitions: Set<Int>) async
}

public struct LeaseConfiguration: Sendable, Hashable {
  /// The instance's id, as registered.
  public var member: String
  /// 1 or more, as the log has.
  public var partitions: Int
  /// The life sign's TTL, as in the instance's registration; a fourth of it passes between two.
  public var ttl: Duration
  public var lockDelay = Duration.seconds(1)
  /// Where the keys lie: `<prefix>/members/<id>` and `<prefix>/partitions/<number>`.
  public var prefix = "penstock/compute"

  public init(member: String, partitions: Int, ttl: Duration = .seconds(2)) {
    precondition(partitions > 0, "a log has partitions")
    self.member = member
    self.partitions = partitions
    self.ttl = ttl
  }
}

/// Leases a fair share of the partitions through Consul, for as long as it runs.
///
/// All workers watch the keys of all; each computes the same plan from them (`LeasePlan`), gives up what it has too much of, and locks what
/// is free and its own by the plan. A worker that dies stops to give signs of life: its session ends within the TTL, its keys go, and
/// after LockDelay the others take its partitions.
public actor PartitionLeases {
  public nonisolated let fence = LeaseFence()
  private let configuration: LeaseConfiguration
  private let client: ConsulClient
  private let registration: MeshRegistration
  private let holder: any LeaseHolder
  private let logger: Logger
  private var session: String?
  /// A session of ours that the servers say has ended.
  private var ended: String?
  /// The keys as they were seen last, and the index they are as of; nil before the first sight.
  private var seen: (entries: [KVEntry], index: UInt64)?

  public init(
    _ configuration: LeaseConfiguration, client: ConsulClient, registration: MeshRegistration, holder: any LeaseHolder,
    logger: Logger
  ) {
    self.configuration = configuration
    self.client = client
    self.registration = registration
    self.holder = holder
    self.logger = logger
  }

  /// Nil while none is open.
  var sessionID: String? { session }

  /// Takes part until the task is cancelled; then gives everything back in order. The registration has to run meanwhile.
  public func run() async {
    // One slot: whatever came meanwhile, one look at the newest keys is enough.
    let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    await withDiscardingTaskGroup { group in
      group.addTask { await self.giveLifeSigns(wake) }
      group.addTask { await self.askServers(wake) }
      group.addTask {
        await self.client.watchKeys(below: self.configuration.prefix + "/") { entries, index in
          await self.see(entries, as: index)
          wake.yield()
        }
      }
      for await _ in wakes {
        guard !Task.isCancelled else { break }
        if await !settle() {
          // Something is refused still: LockDelay, or servers without a leader.
          group.addTask {
            if await slept(.milliseconds(250)) { wake.yield() }
          }
        }
      }
      group.cancelAll()
    }
    // The task is cancelled, and requests of its would be: leaving is a task of its own.
    await Task { await self.leave() }.value
  }

  private func see(_ entries: [KVEntry], as index: UInt64) { seen = (entries, index) }

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

  /// Does what the keys seen last ask for. The only one who takes, gives or loses leases, and never twice at a time.
  /// - Returns: False if something is left to try again soon.
  private func settle() async -> Bool {
    guard let seen else { return true }
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
        // The watch has not caught up with our own taking.
        owners[partition] = (configuration.member, session)
      }
      let plan = LeasePlan(
        partitions: configuration.partitions, members: keys.members.union([configuration.member]),
        current: owners.mapValues(\.member))
      let mine = plan.partitions(of: configuration.member)
      let surplus = fence.partitions.subtracting(mine)
      if !surplus.isEmpty { try await give(surplus, session) }
      return try await take(mine.subtracting(fence.partitions).filter { owners[$0] == nil }, session)
    } catch {
      if error.code != .cancelled { logger.warning("leases: \(error)") }
      return false
    }
  }

  /// What the keys say.
  private struct Keys {
    var members: Set<String> = []
    var owners: [Int: (member: String, session: String)] = [:]
    /// The session under our own member key.
    var own: String?

    init(_ entries: [KVEntry], _ configuration: LeaseConfiguration, memberKey: String) {
      let memberPrefix = "\(configuration.prefix)/members/"
      let partitionPrefix = "\(configuration.prefix)/partitions/"
      for entry in entries {
        // A key without a session is nobody's: someone wrote it by hand.
        guard let session = entry.Session else { continue }
        if entry.Key == memberKey { own = session }
        if entry.Key.hasPrefix(memberPrefix) {
          members.insert(String(entry.Key.dropFirst(memberPrefix.count)))
        } else if entry.Key.hasPrefix(partitionPrefix), let partition = Int(entry.Key.dropFirst(partitionPrefix.count)),
          (0..<configuration.partitions).contains(partition)
        {
          owners[partition] = (entry.text, session)
        }
      }
    }
  }

  private func ensureSession(_ keys: Keys) async throws(ConsulError) -> String? {
    if let session { return session }
    // An earlier life of this instance, killed: it hangs on the same check, which we pass, so it would never end by itself.
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
      // One at a time: one that LockDelay holds back must not hold back the others.
      let lock = KVOperation(
        verb: .lock, key: partitionKey(partition), value: configuration.member, session: session)
      let alive = KVOperation(verb: .checkSession, key: memberKey, session: session)
      guard let entries = try await client.transact([alive, lock]), let key = entries.first(where: { $0.Key == lock.key })
      else { continue }
      fence.add(partition, token: key.ModifyIndex)
      taken.insert(partition)
    }
    if !taken.isEmpty {
      logger.info("partitions leased: \(taken.sorted())")
      await holder.acquired(taken)
    }
    return taken.count == wanted.count
  }

  private func give(_ partitions: Set<Int>, _ session: String) async throws(ConsulError) {
    await holder.release(partitions)
    logger.info("partitions given up: \(partitions.sorted())")
    for partition in partitions.sorted() {
      fence.remove(partition)
      let key = partitionKey(partition)
      // Refused if the lease has become another's meanwhile: then there is nothing of ours to give.
      _ = try await client.transact([
        KVOperation(verb: .checkSession, key: key, session: session), KVOperation(verb: .delete, key: key),
      ])
    }
  }

  private func lose(_ why: String) async {
    session = nil
    fence.expire()
    let lost = fence.removeAll()
    guard !lost.isEmpty else { return }
    logger.warning("leases on \(lost.sorted()) lost: \(why)")
    await holder.lost(lost)
  }

  private func leave() async {
    guard let session else { return }
    do throws(ConsulError) {
      try await give(fence.partitions, session)
      try await client.destroySession(session)
      self.session = nil
    } catch {
      logger.warning("leaving: \(error); the session ends by itself within \(configuration.ttl)")
    }
  }
}
