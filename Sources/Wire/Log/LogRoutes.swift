import Events
import NIOCore
import NIOHTTP1
import Resources
import Serving
import Synchronization

/// A log's routes, for `RemoteLog`. docs/wire.md describes them.
public struct LogRoutes: WireRoutes {
  /// The longest that a wait is held.
  static let waitMax = Duration.seconds(30)
  static let sourcesMax = 4096
  private static let askBytesMax = 1 << 20
  private static let readersMax = 4

  private let log: any EventLog
  let views: (any ViewsRecord)?
  private let reports: ReportRoutes
  private let readers: [LogReader]

  /// - Parameters:
  ///   - log: The log to serve.
  ///   - views: The record of views that lies with it; nil where there is none.
  ///   - reports: The reports that services exchange beside the log.
  public init(log: any EventLog, views: (any ViewsRecord)? = nil, reports: ReportRoutes = ReportRoutes()) {
    self.log = log
    self.views = views
    self.reports = reports
    readers = (0..<min(LogRoutes.readersMax, log.partitionCount)).map { LogReader(log, number: $0) }
  }

  public var openAPI: [UInt8] { EmbeddedFile.logOpenAPI.bytes }

  public var headers: [(name: String, value: String)] { [(WireVersion.logHeader, log.identity.description)] }

  public var table: RouteTable<WireEndpoint> {
    RouteTable([
      .read("/v1/log", answering(about)),
      .ask("/v1/log/batches", bodyBytesMax: BatchFraming.bytesMax, answering(append)),
      .ask("/v1/log/read", bodyBytesMax: LogRoutes.askBytesMax, answering(readSome)),
      .ask("/v1/log/wait", bodyBytesMax: LogRoutes.askBytesMax, answering(wait)),
      .ask("/v1/log/producers", bodyBytesMax: LogRoutes.askBytesMax, answering(producers)),
      .ask("/v1/log/needs", bodyBytesMax: LogRoutes.askBytesMax, answering { reports.needed($0, log.partitionCount) }),
      .read("/v1/log/ingests", answering(reports.sumOfIngests)),
      .ask("/v1/log/ingests", bodyBytesMax: ReportRoutes.bodyBytesMax, answering(reports.ingested)),
      .read("/v1/log/rejects", answering(reports.lastRejects)),
      .read("/v1/log/views", answering(entries)),
      .ask("/v1/log/views", bodyBytesMax: ViewsRecordLimits.entryBytesMax, answering(appendEntry)),
      .ask("/v1/log/views/wait", bodyBytesMax: LogRoutes.askBytesMax, answering(waitForEntry)),
      .read("/v1/log/partitions/{partition}", answering(bounds)),
      .read("/v1/log/partitions/{partition}/batches", answering(read)),
      .read("/v1/log/partitions/{partition}/first_offset", answering(firstOffset)),
    ])
  }

  /// An endpoint that answers for this log only, with the log's errors as answers.
  private func answering(
    _ body: @escaping @Sendable (HTTPRequest) async throws(LogError) -> WireResponse
  ) -> WireEndpoint {
    { request in
      let identity = log.identity.description
      if let wanted = request.headers.first(name: WireVersion.logHeader), wanted != identity {
        return LogError(
          .anotherLog, "this is log \(identity), not \(wanted.prefix(64)): nothing of the one holds of the other"
        ).response
      }
      do throws(LogError) { return try await body(request) } catch { return error.response }
    }
  }

  private func about(_ request: HTTPRequest) -> WireResponse {
    WireResponse([
      "wire": .int(Int64(WireVersion.current)), "partitions": .int(Int64(log.partitionCount)),
      "log": .string(log.identity.description),
    ])
  }

  // MARK: appending

  private func append(_ request: HTTPRequest) async -> WireResponse {
    let batches: [ColumnBatch]
    do throws(BatchError) {
      batches = try BatchFraming.decode(request.body, partition: nil, countMax: AppendReceipt.unansweredBatchesMax)
    } catch {
      return LogRoutes.bad(
        "malformed_batch",
        "\(error): batches back to back are expected, \(AppendReceipt.unansweredBatchesMax) of a partition at most")
    }
    guard !batches.isEmpty, batches.allSatisfy({ $0.tag?.exceptions.isEmpty ?? true }) else {
      return LogRoutes.bad("malformed_batch", "at least one batch is expected, and none that something was left out of")
    }
    return WireResponse(contentType: WireContent.receipts, body: ReceiptCoding.encode(await append(batches)))
  }

  /// Appends batches in order. After a batch that the log refuses at once, no batch of its partition is tried: else a
  /// later one could be appended before it. Batches of other partitions are.
  private func append(_ batches: [ColumnBatch]) async -> [Result<AppendReceipt, LogError>] {
    let outcome = AppendOutcome(count: batches.count)
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      outcome.wait(continuation)
      for (index, batch) in batches.enumerated() {
        let partition = batch.partition
        if let refusal = outcome.refusal(of: partition) {
          outcome.complete(index, partition, .failure(refusal))
          continue
        }
        log.append(batch) { outcome.complete(index, partition, $0) }
      }
    }
    return outcome.results
  }

  // MARK: reading

  private func read(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let partition = try partition(of: request)
    guard let parameters = request.decodedQuery, let from = parameters["from"].flatMap({ Int64($0) }),
      let bytesMax = Int(parameters["bytes_max"] ?? "\(BatchFraming.groupBytesMax)"), bytesMax >= 0
    else { return LogRoutes.bad("bad_parameter", "from and bytes_max are whole numbers") }
    let batches = try await readers[partition.index % readers.count].read(
      partition, from: Offset(from), bytesMax: min(bytesMax, BatchFraming.bytesMax / 2))
    return WireResponse(contentType: WireContent.batches, body: BatchFraming.encode(batches))
  }

  private func readSome(_ request: HTTPRequest) async -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), let from = json["from"],
      let positions = try? OffsetVector(parsing: from.text), let first = positions.sorted.first?.partition,
      case .int(let bytesMax)? = json["bytes_max"], bytesMax >= 0
    else { return LogRoutes.bad("bad_request", #"expected {"from":{"0":118},"bytes_max":4194304}, of one partition at least"#) }
    let reads = await readers[first.index % readers.count].readSome(
      from: positions, bytesMax: Int(min(bytesMax, Int64(BatchFraming.bytesMax / 2))))
    return WireResponse(contentType: WireContent.reads, body: ReadCoding.encode(reads))
  }

  private func bounds(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let bounds = try await log.bounds(of: try partition(of: request))
    return WireResponse(["start": .int(bounds.startOffset.rawValue), "high_watermark": .int(bounds.highWatermark.rawValue)])
  }

  private func firstOffset(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let partition = try partition(of: request)
    guard let time = request.decodedQuery?["at"].flatMap({ Int64($0) }) else {
      return LogRoutes.bad("bad_parameter", "at is a time in nanoseconds since 1970")
    }
    let offset = try await readers[partition.index % readers.count].firstOffset(
      of: partition, atOrAfter: Timestamp(nanoseconds: time))
    return WireResponse(["offset": offset.map { .int($0.rawValue) } ?? .null])
  }

  /// Answers when some partition has passed its offset, or the time is up.
  private func wait(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), let past = json["past"],
      let positions = try? OffsetVector(parsing: past.text), case .int(let milliseconds)? = json["timeout_ms"], milliseconds >= 0
    else { return LogRoutes.bad("bad_request", #"expected {"past":{"0":118},"timeout_ms":20000}"#) }
    let log = log
    let isPast = try await within(.milliseconds(min(milliseconds, 1 << 31))) { () async throws(LogError) in
      try await log.waitForAppend(past: positions)
    }
    return WireResponse(["appended": .bool(isPast)])
  }

  private func producers(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), case .array(let elements)? = json["sources"],
      elements.count <= LogRoutes.sourcesMax
    else { return LogRoutes.bad("bad_request", #"expected {"sources":["a"]}, at most \#(LogRoutes.sourcesMax)"#) }
    var sources: [String] = []
    for case .string(let source) in elements { sources.append(source) }
    let positions = try await log.producerPositions(of: sources)
    var found: [JSONValue] = []
    for (source, position) in positions.sorted(by: { $0.key < $1.key }) {
      found.append([
        "source": .string(source.string), "epoch": .string(String(position.epoch)),
        "sequence": .string(String(position.sequence)),
      ])
    }
    return WireResponse(["producers": .array(found)])
  }

  // MARK: refusing

  private func partition(of request: HTTPRequest) throws(LogError) -> PartitionID {
    let text = request.parameters[0]
    guard let number = Int(text), (0..<log.partitionCount).contains(number) else {
      throw LogError(
        .unknownPartition, partition: UInt16(text).map { PartitionID($0) },
        "the log has partitions 0 to \(log.partitionCount - 1)")
    }
    return PartitionID(number)
  }

  static func bad(_ code: String, _ detail: String) -> WireResponse {
    WireResponse(HTTPProblem(status: 400, code: code, detail: detail))
  }
}

/// The results of one request's batches, gathered from the log's threads.
private final class AppendOutcome: Sendable {
  private struct State {
    var results: [Result<AppendReceipt, LogError>?]
    var missing: Int
    var refusals: [PartitionID: LogError] = [:]
    var continuation: CheckedContinuation<Void, Never>?
  }

  private let state: Mutex<State>

  init(count: Int) { state = Mutex(State(results: Array(repeating: nil, count: count), missing: count)) }

  /// The partition's first failure so far.
  func refusal(of partition: PartitionID) -> LogError? { state.withLock { $0.refusals[partition] } }
  var results: [Result<AppendReceipt, LogError>] { state.withLock { $0.results.compactMap { $0 } } }

  func wait(_ continuation: CheckedContinuation<Void, Never>) { state.withLock { $0.continuation = continuation } }

  func complete(_ index: Int, _ partition: PartitionID, _ result: Result<AppendReceipt, LogError>) {
    let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.results[index] = result
      if case .failure(let error) = result, state.refusals[partition] == nil { state.refusals[partition] = error }
      state.missing -= 1
      return state.missing == 0 ? state.continuation.take() : nil
    }
    waiting?.resume()
  }
}
