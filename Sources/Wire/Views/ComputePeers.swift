import Events
import Logging
import NIOCore
import Synchronization
import Views

/// The compute instances, for stores that put their answers together.
final class ComputePeers: Sendable {
  private static let definitionsMax = 256
  private static let quick = Duration.seconds(1)

  typealias Answer = (peer: Peer, response: WireResponse)

  let client: WireClient
  let partitionCount: Int
  let logger: Logger
  /// Definitions by their YAML, so that none is read twice.
  private let definitions = Mutex<[String: ViewDefinition]>([:])

  init(client: WireClient, partitionCount: Int, logger: Logger) {
    self.client = client
    self.partitionCount = partitionCount
    self.logger = logger
  }

  /// Asks every instance at once. Only for requests that may be sent twice.
  /// - Returns: The answers of those that answered, in the order of their ids.
  /// - Throws: `.unavailable` when none answers.
  nonisolated(nonsending) func askAll(_ request: WireRequest, within timeout: Duration) async throws(ViewStoreError) -> [Answer] {
    let peers = try known()
    let answers = await withTaskGroup(of: (Peer, Result<WireResponse, PeerError>).self) { group in
      for peer in peers {
        group.addTask { (peer, await self.ask(peer, request, within: timeout)) }
      }
      var answers: [(Peer, Result<WireResponse, PeerError>)] = []
      for await answer in group { answers.append(answer) }
      return answers.sorted { $0.0.id < $1.0.id }
    }
    var responses: [Answer] = []
    var failure: PeerError?
    for (peer, answer) in answers {
      switch answer {
      case .success(let response): responses.append((peer, response))
      case .failure(let error):
        failure = failure ?? error
        logger.debug("an instance does not answer: \(error)")
      }
    }
    if responses.isEmpty, let failure { throw .unavailable("\(failure)") }
    return responses
  }

  /// Asks one instance until it answers or is no longer listed: a halted one would be awaited to the end of the time.
  private func ask(_ peer: Peer, _ request: WireRequest, within timeout: Duration) async -> Result<WireResponse, PeerError> {
    await withTaskGroup(of: Result<WireResponse, PeerError>?.self) { group in
      group.addTask { await self.send(request, to: peer, within: timeout) }
      group.addTask {
        await self.waitUntilGone(peer)
        return nil
      }
      defer { group.cancelAll() }
      if let answer = await group.next() ?? nil { return answer }
      let gone = PeerError(
        .unreachable, service: client.dialler.service, peer: peer, "the instance is gone, and has not answered")
      return .failure(gone)
    }
  }

  private func send(_ request: WireRequest, to peer: Peer, within timeout: Duration) async -> Result<WireResponse, PeerError> {
    do throws(PeerError) {
      return .success(try await client.send(request, to: peer, within: timeout))
    } catch {
      // The peer had closed a pooled connection.
      guard error.code == .disconnected else { return .failure(error) }
    }
    do throws(PeerError) { return .success(try await client.send(request, to: peer, within: timeout)) } catch {
      return .failure(error)
    }
  }

  /// Returns when the instance is no longer listed, or the task is cancelled. It waits at first, since most answers are quick.
  private func waitUntilGone(_ peer: Peer) async {
    do { try await Task.sleep(for: ComputePeers.quick) } catch { return }
    while !Task.isCancelled {
      let list = client.dialler.peers()
      guard list.peers.contains(where: { $0.id == peer.id }) else { return }
      await client.dialler.waitForChange(from: list.version)
    }
  }

  /// Decodes the instances' answers to a request. Instances that cannot answer now are left out: their partitions will be found
  /// missing.
  /// - Parameters:
  ///   - isPassedOver: Whether an error means that; any other is thrown.
  ///   - decode: Nil when the answer does not follow the protocol.
  nonisolated(nonsending) func collect<T>(
    _ request: WireRequest, within timeout: Duration,
    passingOver isPassedOver: (ViewStoreError) -> Bool = { if case .unavailable = $0 { true } else { false } },
    decode: (Peer, WireResponse) -> T?
  ) async throws(ViewStoreError) -> [T] {
    var results: [T] = []
    for (peer, response) in try await askAll(request, within: timeout) {
      guard response.status == 200 else {
        let error = ComputePeers.error(response, peer)
        guard isPassedOver(error) else { throw error }
        logger.debug("\(peer) does not answer \(request.target): \(error)")
        continue
      }
      guard let result = decode(peer, response) else { throw ComputePeers.malformed(peer) }
      results.append(result)
    }
    return results
  }

  /// Sends a request to one instance: the first that can be reached. It never goes to a second one once the first may have
  /// carried it out.
  /// - Returns: An answer of status 200.
  nonisolated(nonsending) func askOne(_ request: WireRequest, within timeout: Duration) async throws(ViewStoreError) -> Answer {
    var failure = ViewStoreError.unavailable("no instance of \(client.dialler.service) is known")
    for peer in try known() {
      let response: WireResponse
      do throws(PeerError) {
        response = try await client.send(request, to: peer, within: timeout)
      } catch {
        failure = .unavailable("\(error)")
        guard error.isUnsent || error.code == .refused else {
          throw .unavailable("\(error); it may have been done all the same: look before you try again")
        }
        continue
      }
      guard response.status != 200 else { return (peer, response) }
      failure = ComputePeers.error(response, peer)
      // An instance that is stopping, or cannot reach the record of views, has done nothing.
      guard case .unavailable = failure else { throw failure }
    }
    throw failure
  }

  private func known() throws(ViewStoreError) -> [Peer] {
    let peers = client.dialler.peers().peers
    guard !peers.isEmpty else { throw .unavailable("no instance of \(client.dialler.service) is known") }
    return peers
  }

  static func error(_ response: WireResponse, _ peer: Peer) -> ViewStoreError {
    if let error = ViewStoreError(json: response.json?["store"]) { return error }
    return response.status >= 500 && response.status != 500
      ? .unavailable("\(peer) answered \(response.status)") : .failed("\(peer) answered \(response.status)")
  }

  static func malformed(_ peer: Peer) -> ViewStoreError {
    .failed("\(peer) gave no answer of this protocol: is it of another version?")
  }

  func definition(_ yaml: String) -> ViewDefinition? {
    if let known = definitions.withLock({ $0[yaml] }) { return known }
    guard let read = try? ViewCatalog(yaml: yaml, file: "wire", bytesMax: ViewCatalog.writtenBytesMax).views.first else {
      return nil
    }
    definitions.withLock { definitions in
      if definitions.count >= ComputePeers.definitionsMax { definitions.removeAll() }
      definitions[yaml] = read
    }
    return read
  }

  /// Rows, or what is said of them; nil when the body is none of this log's.
  func rows(_ body: ByteBuffer) -> PartialResult? {
    guard let result = RowsCoding.decode(body, definition: { definition($0) }),
      result.asOf.offsets.keys.allSatisfy({ $0.index < partitionCount })
    else { return nil }
    return result
  }

  // MARK: putting together

  /// Whether all are of one generation of one definition.
  static func agree(_ results: [PartialResult]) -> Bool {
    results.allSatisfy { $0.generation == results[0].generation && $0.definition == results[0].definition }
  }

  /// The partitions that are not among these.
  func missing(_ present: some Sequence<PartitionID>) -> [PartitionID] {
    let present = Set(present)
    return (0..<partitionCount).map { PartitionID($0) }.filter { !present.contains($0) }
  }

  /// The furthest progress of each partition, where two instances report one.
  static func furthest(_ all: [PartitionProgress]) -> [PartitionProgress] {
    var result: [PartitionID: PartitionProgress] = [:]
    for progress in all {
      if let known = result[progress.partition], known.nextOffset >= progress.nextOffset { continue }
      result[progress.partition] = progress
    }
    return result.values.sorted { $0.partition < $1.partition }
  }

  /// The answer that counts for each partition: the one furthest on.
  static func owners(_ all: [OffsetVector]) -> [PartitionID: Int] {
    var owner: [PartitionID: Int] = [:]
    for (index, vector) in all.enumerated() {
      for (partition, offset) in vector.offsets {
        if let other = owner[partition], let theirs = all[other][partition], theirs >= offset { continue }
        owner[partition] = index
      }
    }
    return owner
  }

  /// Takes each partition's rows from its owner.
  /// - Precondition: All have the same definition and generation, and there is at least one.
  static func merged(_ results: [PartialResult], _ owner: [PartitionID: Int]) -> PartialResult {
    var merged = results[0]
    merged.asOf = OffsetVector()
    merged.eventTimeWatermarks = [:]
    merged.slowestSources = [:]
    merged.rows = PartialRows(stride: merged.definition.layout.stride)
    merged.droppedEnd = results.compactMap(\.droppedEnd).max()
    for (index, result) in results.enumerated() {
      for (partition, offset) in result.asOf.offsets where owner[partition] == index {
        merged.asOf[partition] = offset
        merged.eventTimeWatermarks[partition] = result.eventTimeWatermarks[partition]
        merged.slowestSources[partition] = result.slowestSources[partition]
      }
      if result.asOf.offsets.keys.allSatisfy({ owner[$0] == index }) {
        merged.rows.append(contentsOf: result.rows)
      } else {
        merged.rows.append(result.rows, where: { owner[$0] == index })
      }
    }
    return merged
  }
}
