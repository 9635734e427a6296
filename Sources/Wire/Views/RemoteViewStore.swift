import Events
import Logging
import Synchronization
import Views

/// The views of all compute instances: asks each, and puts the answers together.
///
/// The instance that owns a partition answers for it. While a partition passes from an instance to another both may answer, or
/// neither. Then the answer further on counts, or the partition is missing, and a read says so instead of giving a smaller sum.
public final class RemoteViewStore: ViewStore {
  /// Added to a read's time limit: time to compute and send the rows.
  static let slack = Duration.seconds(10)
  /// The wait before a missing partition is looked for again.
  private static let secondLook = Duration.milliseconds(20)
  /// Less than the second that Consul waits for `/readyz`.
  private static let probeTimeout = Duration.milliseconds(800)

  let peers: ComputePeers
  /// The event-time watermarks of the slowest partitions that the instances were told, by generation.
  let told = Mutex<[String: Int64]>([:])

  /// - Parameters:
  ///   - client: Asks every compute instance.
  ///   - partitionCount: The number of the log's partitions.
  ///   - logger: Logs instances that do not answer.
  public init(client: WireClient, partitionCount: Int, logger: Logger) {
    peers = ComputePeers(client: client, partitionCount: partitionCount, logger: logger)
  }

  public nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    try await views(within: RemoteViewStore.slack)
  }

  private nonisolated(nonsending) func views(within timeout: Duration) async throws(ViewStoreError) -> [ViewStatus] {
    let peers = peers
    var merged: [ViewStatus] = []
    for (peer, response) in try await peers.askAll(WireRequest(.GET, "/v1/compute/views"), within: timeout) {
      guard response.status == 200, case .array(let views)? = response.json?["views"] else {
        throw ComputePeers.error(response, peer)
      }
      for view in views {
        guard let status = ViewStatus(json: view, definition: { peers.definition($0) }) else {
          throw ComputePeers.malformed(peer)
        }
        guard
          let known = merged.firstIndex(where: {
            $0.definition.name == status.definition.name && $0.generation == status.generation
          })
        else {
          merged.append(status)
          continue
        }
        merged[known].partitions = ComputePeers.furthest(merged[known].partitions + status.partitions)
      }
    }
    for status in merged { await tellSlowest(of: status) }
    return merged
  }

  public nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    var merged = try await readOnce(request)
    // The new owner may have been asked before it took the partition over, and the former one after it had released it: they are
    // asked again.
    for _ in 0..<2 where !merged.missing.isEmpty {
      do { try await Task.sleep(for: RemoteViewStore.secondLook) } catch { break }
      merged = try await readOnce(request)
    }
    guard merged.missing.isEmpty || request.allowsPartial else { throw .missingPartitions(merged.missing) }
    return merged
  }

  /// A read that leaves missing partitions out.
  private nonisolated(nonsending) func readOnce(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    var request = request
    var results = try await results(request)
    // Instances take a new generation over one by one: until then the older one, which each still keeps, is everyone's.
    if let oldest = results.map(\.generation).min(), results.contains(where: { $0.generation != oldest }) {
      request.generation = oldest
      results = try await self.results(request)
    }
    guard !results.isEmpty else { throw .missingPartitions(peers.missing([])) }
    guard ComputePeers.agree(results) else {
      throw .unavailable("the instances are not of one mind what view \(request.view) is; try again")
    }
    let owner = ComputePeers.owners(results.map(\.asOf))
    var merged = ComputePeers.merged(results, owner)
    merged.missing = peers.missing(owner.keys)
    if request.asOf != nil, merged.missing.isEmpty || request.allowsPartial { try merged.checkWhole() }
    return merged
  }

  /// The reason why some partition is not answered for; nil when all are.
  public nonisolated(nonsending) func problem() async -> String? {
    do throws(ViewStoreError) {
      for view in try await views(within: RemoteViewStore.probeTimeout) {
        let missing = peers.missing(view.partitions.map(\.partition))
        if !missing.isEmpty { return ViewStoreError.missingPartitions(missing).description }
      }
      return nil
    } catch {
      return error.description
    }
  }

  private nonisolated(nonsending) func results(_ request: ViewReadRequest) async throws(ViewStoreError) -> [PartialResult] {
    let peers = peers
    return try await peers.collect(
      RemoteViewStore.wire(request, to: "/v1/compute/read"), within: request.timeout + RemoteViewStore.slack,
      passingOver: RemoteViewStore.isOfAbsence
    ) { _, response in response.contentType == WireContent.rows ? peers.rows(response.body) : nil }
  }

  static func wire(_ request: ViewReadRequest, to path: String) -> WireRequest {
    var json = request.json
    if case .object(var members) = json, let filter = request.keyFilter {
      members["key_filter"] = .string(filter.canonicalText)
      json = .object(members)
    }
    return WireRequest(posting: json, to: path, answerBytesMax: RowsCoding.bytesMax)
  }

  /// Whether an instance's error means that it has no rows to give now: its partitions are then missing.
  static func isOfAbsence(_ error: ViewStoreError) -> Bool {
    switch error {
    case .missingPartitions, .unavailable: true
    case .unknownView, .unknownGeneration, .timeout, .asOfUnreachable, .refused, .unusable, .failed: false
    }
  }
}
