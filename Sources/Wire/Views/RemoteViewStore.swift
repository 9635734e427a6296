import Events
import Logging
import Synchronization
import Views

/// The views of all compute instances: asks each, and puts together what they say.
///
/// A partition is answered for by the instance that owns it. While one passes from an instance to another both may answer, or neither: then
/// the one further on counts, or the partition is missing, and a read says so instead of giving a smaller sum.
public final class RemoteViewStore: ViewStore {
  private static let definitionsMax = 256
  /// On top of what a read may wait for: to compute and send the rows.
  private static let slack = Duration.seconds(10)

  private let client: WireClient
  private let partitionCount: Int
  private let logger: Logger
  /// Definitions by their YAML, so that none is read twice.
  private let definitions = Mutex<[String: ViewDefinition]>([:])

  /// - Parameters:
  ///   - client: Asks every compute instance.
  ///   - partitionCount: Of the log.
  ///   - logger: Told of instances that do not answer.
  public init(client: WireClient, partitionCount: Int, logger: Logger) {
    self.client = client
    self.partitionCount = partitionCount
    self.logger = logger
  }

  public nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    let answers = try await ask(WireRequest(.GET, "/v1/compute/views"), within: RemoteViewStore.slack)
    var merged: [ViewStatus] = []
    for (peer, response) in answers.responses {
      guard response.status == 200, case .array(let views)? = response.json?["views"] else {
        throw RemoteViewStore.error(response, peer)
      }
      for view in views {
        guard let status = ViewStatus(json: view, definition: { definition($0) }) else {
          throw .failed("\(peer) does not say what its views are: is it of another version?")
        }
        guard
          let known = merged.firstIndex(where: {
            $0.definition.name == status.definition.name && $0.generation == status.generation
          })
        else {
          merged.append(status)
          continue
        }
        merged[known].partitions = RemoteViewStore.furthest(merged[known].partitions + status.partitions)
      }
    }
    return merged
  }

  public nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    var request = request
    var results = try await results(request)
    // Instances take a new generation over one by one: then the older one, which each still keeps, is everyone's.
    if let oldest = results.map(\.generation).min(), results.contains(where: { $0.generation != oldest }) {
      request.generation = oldest
      results = try await self.results(request)
    }
    guard var merged = results.first else { throw .missingPartitions((0..<partitionCount).map { PartitionID($0) }) }
    var owner: [PartitionID: Int] = [:]
    for (index, result) in results.enumerated() {
      guard result.definition == merged.definition, result.generation == merged.generation else {
        throw .unavailable("the instances are not of one mind what view \(request.view) is; try again")
      }
      for (partition, offset) in result.asOf.offsets {
        guard let other = owner[partition] else {
          owner[partition] = index
          continue
        }
        if let theirs = results[other].asOf[partition], theirs < offset { owner[partition] = index }
      }
    }
    merged.asOf = OffsetVector()
    merged.eventTimeWatermarks = [:]
    merged.rows = PartialRows(stride: merged.definition.layout.stride)
    for (index, result) in results.enumerated() {
      for (partition, offset) in result.asOf.offsets where owner[partition] == index {
        merged.asOf[partition] = offset
        merged.eventTimeWatermarks[partition] = result.eventTimeWatermarks[partition]
      }
      if result.asOf.offsets.keys.allSatisfy({ owner[$0] == index }) {
        merged.rows.append(contentsOf: result.rows)
      } else {
        merged.rows.append(result.rows, where: { owner[$0] == index })
      }
    }
    let missing = (0..<partitionCount).map { PartitionID($0) }.filter { owner[$0] == nil }
    guard missing.isEmpty || request.allowsPartial else { throw .missingPartitions(missing) }
    merged.missing = missing
    return merged
  }

  /// Whether every partition is answered for; what is wrong otherwise.
  public nonisolated(nonsending) func problem() async -> String? {
    do throws(ViewStoreError) {
      let views = try await views()
      for view in views {
        let owned = Set(view.partitions.map(\.partition))
        let missing = (0..<partitionCount).map { PartitionID($0) }.filter { !owned.contains($0) }
        if !missing.isEmpty { return ViewStoreError.missingPartitions(missing).description }
      }
      return nil
    } catch {
      return error.description
    }
  }

  // MARK: asking

  private nonisolated(nonsending) func results(_ request: ViewReadRequest) async throws(ViewStoreError) -> [PartialResult] {
    var json = request.json
    if case .object(var members) = json, let filter = request.keyFilter {
      members["key_filter"] = .string(filter.canonicalText)
      json = .object(members)
    }
    let wire = WireRequest(posting: json, to: "/v1/compute/read", answerBytesMax: RowsCoding.bytesMax)
    let answers = try await ask(wire, within: request.timeout + RemoteViewStore.slack)
    var results: [PartialResult] = []
    for (peer, response) in answers.responses {
      guard response.status == 200 else {
        let error = RemoteViewStore.error(response, peer)
        switch error {
        // Its partitions will be found missing.
        case .missingPartitions, .unavailable: logger.debug("\(peer) does not answer a read: \(error)")
        default: throw error
        }
        continue
      }
      guard response.contentType == WireContent.rows,
        let result = RowsCoding.decode(response.body, definition: { definition($0) }),
        result.asOf.offsets.keys.allSatisfy({ $0.index < partitionCount })
      else { throw .failed("\(peer) answered with no rows: is it of another version?") }
      results.append(result)
    }
    return results
  }

  /// Asks every instance at once.
  /// - Throws: `.unavailable` when none answers.
  private nonisolated(nonsending) func ask(_ request: WireRequest, within timeout: Duration) async throws(ViewStoreError) -> (
    responses: [(peer: Peer, response: WireResponse)], failures: [PeerError]
  ) {
    let peers = client.dialler.peers().peers
    guard !peers.isEmpty else { throw .unavailable("no instance of \(client.dialler.service) is known") }
    let client = client
    let answers = await withTaskGroup(of: (Peer, Result<WireResponse, PeerError>).self) { group in
      for peer in peers {
        group.addTask {
          do throws(PeerError) {
            return (peer, .success(try await client.send(request, to: peer, within: timeout)))
          } catch let error where error.code == .disconnected {
            // A pooled connection that its peer had closed; reads may be sent twice.
            do throws(PeerError) {
              return (peer, .success(try await client.send(request, to: peer, within: timeout)))
            } catch {
              return (peer, .failure(error))
            }
          } catch {
            return (peer, .failure(error))
          }
        }
      }
      var answers: [(Peer, Result<WireResponse, PeerError>)] = []
      for await answer in group { answers.append(answer) }
      return answers.sorted { $0.0.id < $1.0.id }
    }
    var responses: [(peer: Peer, response: WireResponse)] = []
    var failures: [PeerError] = []
    for (peer, answer) in answers {
      switch answer {
      case .success(let response): responses.append((peer, response))
      case .failure(let error):
        failures.append(error)
        logger.debug("an instance does not answer: \(error)")
      }
    }
    if responses.isEmpty, let failure = failures.first { throw .unavailable("\(failure)") }
    return (responses, failures)
  }

  private static func error(_ response: WireResponse, _ peer: Peer) -> ViewStoreError {
    if let error = ViewStoreError(json: response.json?["store"]) { return error }
    return response.status >= 500 && response.status != 500
      ? .unavailable("\(peer) answered \(response.status)") : .failed("\(peer) answered \(response.status)")
  }

  /// Of progress that two instances report for one partition, the further.
  private static func furthest(_ all: [PartitionProgress]) -> [PartitionProgress] {
    var result: [PartitionID: PartitionProgress] = [:]
    for progress in all {
      if let known = result[progress.partition], known.nextOffset >= progress.nextOffset { continue }
      result[progress.partition] = progress
    }
    return result.values.sorted { $0.partition < $1.partition }
  }

  private func definition(_ yaml: String) -> ViewDefinition? {
    if let known = definitions.withLock({ $0[yaml] }) { return known }
    guard let read = try? ViewCatalog(yaml: yaml, file: "wire").views.first else { return nil }
    definitions.withLock { definitions in
      if definitions.count >= RemoteViewStore.definitionsMax { definitions.removeAll() }
      definitions[yaml] = read
    }
    return read
  }
}
