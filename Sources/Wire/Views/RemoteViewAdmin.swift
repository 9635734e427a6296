import Events
import Logging
import Views

/// The generations of all compute instances' views.
///
/// The instances share one record of generations, so one instance makes a change; the others follow within
/// milliseconds, and the change is answered when they have. Results over rows are asked of all instances, each for its
/// own partitions, and put together here.
public final class RemoteViewAdmin: ViewAdmin {
  private static let timeout = Duration.seconds(30)
  /// How long instances may take to follow a change before it is answered all the same.
  private static let followTimeout = Duration.seconds(3)

  private let peers: ComputePeers

  /// - Parameter store: The store of the same instances.
  public init(_ store: RemoteViewStore) { peers = store.peers }

  // MARK: status

  public nonisolated(nonsending) func generations(of view: String) async throws(ViewStoreError) -> [GenerationStatus] {
    try await listing(of: view).generations
  }

  private struct Listing: Sendable {
    var generations: [GenerationStatus] = []
    /// The oldest version of the table among the instances that answer.
    var version = UInt64.max
  }

  private nonisolated(nonsending) func listing(of view: String) async throws(ViewStoreError) -> Listing {
    let answers = try await peers.askAll(
      WireRequest(.GET, "/v1/compute/generations?view=\(PercentText.encode(view))", answerBytesMax: 16 << 20),
      within: RemoteViewAdmin.timeout)
    let peers = peers
    var listing = Listing()
    var newest: UInt64 = 0
    var failure: ViewStoreError?
    for (peer, response) in answers {
      guard response.status == 200 else {
        // An instance that does not know a new view yet does not decide.
        failure = failure ?? ComputePeers.error(response, peer)
        continue
      }
      guard let version = response.json.flatMap(RemoteViewAdmin.version),
        case .array(let elements)? = response.json?["generations"]
      else { throw ComputePeers.malformed(peer) }
      listing.version = min(listing.version, version)
      for element in elements {
        guard let status = GenerationStatus(json: element, definition: { peers.definition($0) }) else {
          throw ComputePeers.malformed(peer)
        }
        guard let index = listing.generations.firstIndex(where: { $0.generation == status.generation }) else {
          listing.generations.append(status)
          continue
        }
        listing.generations[index].add(status, isNewer: version > newest)
      }
      newest = max(newest, version)
    }
    if listing.generations.isEmpty, let failure { throw failure }
    listing.generations.sort { $0.generation < $1.generation }
    for index in listing.generations.indices where listing.generations[index].state.isKept {
      let missing = peers.missing(listing.generations[index].partitions.map(\.partition))
      if !missing.isEmpty, listing.generations[index].problem == nil {
        listing.generations[index].problem = ViewStoreError.missingPartitions(missing).description
      }
    }
    return listing
  }

  // MARK: changes

  /// Has one instance change the table, and waits until the others have followed.
  private nonisolated(nonsending) func change(
    _ path: String, _ json: JSONValue, view: String?, within timeout: Duration = RemoteViewAdmin.timeout
  ) async throws(ViewStoreError) -> (peer: Peer, json: JSONValue) {
    let (peer, response) = try await peers.askOne(
      WireRequest(posting: json, to: "/v1/compute/\(path)", answerBytesMax: 16 << 20), within: timeout)
    guard let json = response.json, let version = RemoteViewAdmin.version(json) else { throw ComputePeers.malformed(peer) }
    guard version > 0, let view else { return (peer, json) }
    let deadline = ContinuousClock.now + RemoteViewAdmin.followTimeout
    while ContinuousClock.now < deadline {
      if let listing = try? await listing(of: view), listing.version >= version { break }
      // Cancelled: the caller has left.
      do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
    }
    return (peer, json)
  }

  /// A change whose answer is one generation, as all instances see it.
  private nonisolated(nonsending) func changeOne(_ path: String, _ json: JSONValue, view: String) async throws(ViewStoreError)
    -> GenerationStatus
  {
    let peers = peers
    let (peer, answer) = try await change(path, json, view: view)
    guard let changed = GenerationStatus(json: answer["generation"], definition: { peers.definition($0) }) else {
      throw ComputePeers.malformed(peer)
    }
    // The change is made: instances that cannot be asked now are left out of the answer.
    let all = (try? await generations(of: view)) ?? []
    return all.first { $0.generation == changed.generation } ?? changed
  }

  public nonisolated(nonsending) func apply(_ catalog: ViewCatalog, hold: Bool) async throws(ViewStoreError) -> [AppliedView] {
    let (peer, answer) = try await change(
      "apply", ["views": .string(catalog.yaml), "hold": .bool(hold)], view: catalog.views.first?.name)
    guard case .array(let elements)? = answer["views"] else { throw ComputePeers.malformed(peer) }
    let applied = elements.compactMap { AppliedView(json: $0) }
    guard applied.count == elements.count else { throw ComputePeers.malformed(peer) }
    return applied
  }

  public nonisolated(nonsending) func replay(_ request: ReplayRequest) async throws(ViewStoreError) -> GenerationStatus {
    try await changeOne("replay", request.json, view: request.view)
  }

  public nonisolated(nonsending) func rollback(_ view: String) async throws(ViewStoreError) -> GenerationStatus {
    try await changeOne("rollback", ["view": .string(view)], view: view)
  }

  public nonisolated(nonsending) func drop(_ view: String, generation: Int) async throws(ViewStoreError) -> GenerationStatus {
    try await changeOne("drop", ["view": .string(view), "generation": .int(Int64(generation))], view: view)
  }

  public nonisolated(nonsending) func remove(_ view: String, purgeAfter: Int64) async throws(ViewStoreError) -> ViewRemoval {
    let (peer, answer) = try await change("remove", ["view": .string(view), "purge_after": .int(purgeAfter)], view: nil)
    guard let removal = ViewRemoval(json: answer["removal"]) else { throw ComputePeers.malformed(peer) }
    // The others have followed when none knows the view any more.
    let deadline = ContinuousClock.now + RemoteViewAdmin.followTimeout
    while ContinuousClock.now < deadline {
      do throws(ViewStoreError) { _ = try await listing(of: view) } catch {
        if case .unknownView = error { break }
      }
      // Cancelled: the caller has left.
      do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
    }
    return removal
  }

  /// The gate is checked here, on all instances' rows.
  public nonisolated(nonsending) func promote(_ request: PromoteRequest) async throws(ViewStoreError) -> GenerationStatus {
    var request = request
    if let changesMax = request.changesMax {
      let all = try await generations(of: request.view)
      let wanted = all.last {
        request.generation == nil
          ? $0.to == nil && ($0.state == .held || $0.state == .building) : $0.generation == request.generation
      }
      // If either is missing, the instance reports the fault.
      if let live = all.first(where: { $0.state == .live }), let wanted, wanted.state != .live {
        guard wanted.state != .building else { throw PromoteRequest.notCaughtUp(request.view, wanted.generation) }
        if wanted.state.isKept {
          try PromoteRequest.check(
            try await pinned(
              PinnedRequest(
                view: request.view, first: live.generation, second: wanted.generation, timeout: request.timeout)),
            changesMax: changesMax)
          // The compared generation is promoted.
          request.generation = wanted.generation
        }
      }
    }
    return try await changeOne("promote", request.json, view: request.view)
  }

  public nonisolated(nonsending) func estimate(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayEstimate {
    let (peer, response) = try await peers.askOne(
      WireRequest(posting: request.json, to: "/v1/compute/estimate"), within: RemoteViewAdmin.timeout)
    guard let estimate = ReplayEstimate(json: response.json) else { throw ComputePeers.malformed(peer) }
    return estimate
  }

  // MARK: comparing

  public nonisolated(nonsending) func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults {
    let peers = peers
    let pairs = try await peers.collect(
      WireRequest(posting: request.json, to: "/v1/compute/pinned", answerBytesMax: RowsCoding.bytesMax),
      within: request.timeout + RemoteViewStore.slack
    ) { RowsCoding.decodePair($1.body, definition: { peers.definition($0) }) }
    let (first, second) = (pairs.map(\.first), pairs.map(\.second))
    let owner = ComputePeers.owners(first.map(\.asOf))
    let missing = peers.missing(owner.keys)
    guard missing.isEmpty, !first.isEmpty else { throw .missingPartitions(missing) }
    for (results, number) in [(first, request.first), (second, request.second)] {
      guard results[0].generation == number, ComputePeers.agree(results) else {
        throw .unavailable("the instances are not of one mind what view \(request.view) is; try again")
      }
    }
    return PinnedResults(first: ComputePeers.merged(first, owner), second: ComputePeers.merged(second, owner))
  }

  public nonisolated(nonsending) func verify(
    _ view: String, generation: Int?, timeout: Duration
  ) async throws(ViewStoreError) -> VerifyReport {
    let peers = peers
    var json = JSONObject()
    json["view"] = .string(view)
    // All instances' rows of the same generation, even if another becomes live meanwhile.
    let all = try await generations(of: view)
    if let number = generation ?? all.first(where: { $0.state == .live })?.generation { json["generation"] = .int(Int64(number)) }
    json["timeout_ms"] = .int(timeout.nanosecondsHeld / 1_000_000)
    let reports = try await peers.collect(
      WireRequest(posting: .object(json), to: "/v1/compute/verify", answerBytesMax: 16 << 20),
      within: timeout + RemoteViewStore.slack
    ) { VerifyReport(json: $1.json, definition: { peers.definition($0) }) }
    var merged: VerifyReport?
    for report in reports {
      guard var whole = merged else {
        merged = report
        continue
      }
      // If two instances owned a partition meanwhile, either's comparison is complete.
      whole.partitions += report.partitions.filter { one in !whole.partitions.contains { $0.partition == one.partition } }
      if let difference = report.difference, whole.difference.map({ difference.partition < $0.partition }) ?? true {
        whole.difference = difference
      }
      merged = whole
    }
    let missing = peers.missing((merged?.partitions ?? []).map(\.partition))
    guard missing.isEmpty, var report = merged else { throw .missingPartitions(missing) }
    report.partitions.sort { $0.partition < $1.partition }
    return report
  }

  private static func version(_ json: JSONValue) -> UInt64? {
    if case .string(let text)? = json["version"] { UInt64(text) } else { nil }
  }
}

extension GenerationStatus {
  /// Merges another instance's status of the same generation.
  fileprivate mutating func add(_ other: GenerationStatus, isNewer: Bool) {
    if isNewer {
      definition = other.definition
      state = other.state
      promotes = other.promotes
    }
    partitions = ComputePeers.furthest(partitions + other.partitions)
    if let rate = other.eventsPerSecond { eventsPerSecond = (eventsPerSecond ?? 0) + rate }
    problem = problem ?? other.problem
  }
}
