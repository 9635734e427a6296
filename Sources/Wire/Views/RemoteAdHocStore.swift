import Events
import Logging
import Views

/// One-off aggregations, computed by all compute instances together: each folds a share of the log's partitions and
/// answers with rows that can be merged.
///
/// Any instance can read any partition, so the share of one that goes away is given to the others.
public final class RemoteAdHocStore: AdHocStore {
  /// Added to an instance's time limit: time for its own answer that the time was up.
  private static let slack = Duration.milliseconds(250)

  private typealias Part = (peer: Peer, share: Set<PartitionID>, result: Result<PartialResult, ShareError>)

  private enum ShareError: Error {
    /// The instance cannot be asked any more: others may do its share.
    case gone(String)
    case failed(AdHocError)
  }

  private let client: WireClient
  private let partitionCount: Int
  private let logger: Logger

  /// - Parameters:
  ///   - client: Asks every compute instance.
  ///   - partitionCount: The number of the log's partitions.
  ///   - logger: Logs instances that go away meanwhile.
  public init(client: WireClient, partitionCount: Int, logger: Logger) {
    self.client = client
    self.partitionCount = partitionCount
    self.logger = logger
  }

  public nonisolated(nonsending) func aggregate(_ request: AdHocRequest) async throws(AdHocError) -> PartialResult {
    let deadline = ContinuousClock.now + request.timeout
    var open = Set((0..<partitionCount).map { PartitionID($0) })
    if let wanted = request.partitions { open.formIntersection(wanted) }
    var peers = client.dialler.peers().peers
    var failure = "no instance of \(client.dialler.service) is known"
    var merged = PartialResult(
      definition: request.definition, generation: 0, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: request.definition.layout.stride))
    while !open.isEmpty {
      guard !peers.isEmpty else { throw .unavailable(failure) }
      var rest = request
      rest.timeout = deadline - .now
      guard rest.timeout > .zero else { throw .timeout }
      for (peer, share, result) in await ask(rest, open, of: peers) {
        switch result {
        case .success(let part):
          open.subtract(share)
          // Without retention: no rows are kept.
          merged.definition = part.definition
          merged.append(part)
        case .failure(.gone(let why)):
          logger.info("\(peer) does not do its share of an aggregation, others do: \(why)")
          failure = why
          peers.removeAll { $0 == peer }
        case .failure(.failed(let error)): throw error
        }
        guard merged.rows.count <= request.rowsMax else { throw .tooLarge(rowsMax: request.rowsMax) }
      }
    }
    return merged
  }

  /// Deals the partitions out and asks all instances at once. The first definite failure ends the others' work.
  private nonisolated(nonsending) func ask(_ request: AdHocRequest, _ partitions: Set<PartitionID>, of peers: [Peer]) async
    -> [Part]
  {
    var shares: [Set<PartitionID>] = Array(repeating: [], count: peers.count)
    for (index, partition) in partitions.sorted().enumerated() { shares[index % peers.count].insert(partition) }
    return await withTaskGroup(of: Part.self) { group in
      for (peer, share) in zip(peers, shares) where !share.isEmpty {
        group.addTask {
          do throws(ShareError) {
            return (peer, share, .success(try await self.ask(request, share, of: peer)))
          } catch {
            return (peer, share, .failure(error))
          }
        }
      }
      var parts: [Part] = []
      for await part in group {
        if case .failure(.failed) = part.result {
          group.cancelAll()
          return [part]
        }
        parts.append(part)
      }
      return parts.sorted { $0.peer.id < $1.peer.id }
    }
  }

  private func ask(_ request: AdHocRequest, _ share: Set<PartitionID>, of peer: Peer) async throws(ShareError) -> PartialResult {
    var asked = request
    asked.partitions = share
    let response: WireResponse
    do throws(PeerError) {
      response = try await client.send(
        WireRequest(posting: asked.json, to: "/v1/compute/aggregate", answerBytesMax: RowsCoding.bytesMax), to: peer,
        within: request.timeout + RemoteAdHocStore.slack)
    } catch {
      if Task.isCancelled { throw .failed(.cancelled) }
      throw error.code == .timeout ? .failed(.timeout) : .gone("\(error)")
    }
    guard response.status == 200 else {
      // Cancelled there: the instance stops.
      if let error = AdHocError(json: response.json?["ad_hoc"]), error != .cancelled { throw .failed(error) }
      throw .gone("\(peer) answered \(response.status)")
    }
    guard response.contentType == WireContent.rows,
      let part = RowsCoding.decode(response.body, definition: { RemoteAdHocStore.definition($0, of: request) }),
      Set(part.asOf.offsets.keys) == share
    else { throw .failed(.unavailable("\(peer) gave no answer of this protocol: is it of another version?")) }
    return part
  }

  /// The definition that an instance has folded: the request's, or its own reading of it.
  private static func definition(_ yaml: String, of request: AdHocRequest) -> ViewDefinition? {
    if yaml == request.definition.yaml { return request.definition }
    let read = try? ViewCatalog(yaml: yaml, file: "wire").views.first
    return read?.layout.stride == request.definition.layout.stride ? read : nil
  }
}
