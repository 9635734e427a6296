import Events
import NIOCore
import NIOHTTP1
import Resources
import Serving
import Synchronization

/// A log's routes: what `RemoteLog` asks. docs/wire.md describes them.
public struct LogRoutes: WireRoutes {
  /// The longest that a wait is held.
  static let waitMax = Duration.seconds(30)
  static let sourcesMax = 4096
  private static let readersMax = 4

  private let log: any EventLog
  let views: (any ViewsRecord)?
  private let reports: ReportRoutes
  private let readers: [LogReader]

  /// - Parameters:
  ///   - log: What is served.
  ///   - views: The record of views that lies with it; nil where there is none.
  ///   - reports: What services tell one another beside the log.
  public init(log: any EventLog, views: (any ViewsRecord)? = nil, reports: ReportRoutes = ReportRoutes()) {
    self.log = log
    self.views = views
    self.reports = reports
    readers = (0..<min(LogRoutes.readersMax, log.partitionCount)).map { LogReader(log, number: $0) }
  }

  public func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int {
    guard method == .POST else { return WireServer.strayBodyBytesMax }
    if path.hasSuffix("/batches") { return BatchFraming.bytesMax }
    if path.hasSuffix("/views") { return ViewsRecordLimits.entryBytesMax }
    return path.hasSuffix("/ingests") ? ReportRoutes.bodyBytesMax : 1 << 20
  }

  public var openAPI: [UInt8] { EmbeddedFile.logOpenAPI.bytes }

  public func answer(_ request: WireRequest) async -> WireResponse {
    let identity = log.identity.description
    var response: WireResponse
    if let wanted = request.log, wanted != identity {
      response =
        LogError(.anotherLog, "this is log \(identity), not \(wanted.prefix(64)): nothing of the one holds of the other").response
    } else {
      response = await route(request)
    }
    response.headers[WireVersion.logHeader] = identity
    return response
  }

  private func route(_ request: WireRequest) async -> WireResponse {
    let parts = request.path.split(separator: "/")
    guard parts.starts(with: ["v1", "log"]) else { return LogRoutes.refusal(request, allowed: nil) }
    do throws(LogError) {
      switch (request.method, parts.count, parts.dropFirst().first, parts.dropFirst(2).first) {
      case (.GET, 2, "log", nil):
        return WireResponse([
          "wire": .int(Int64(WireVersion.current)), "partitions": .int(Int64(log.partitionCount)),
          "log": .string(log.identity.description),
        ])
      case (.POST, 3, "log", "batches"): return await append(request)
      case (.POST, 3, "log", "read"): return await readSome(request)
      case (.POST, 3, "log", "wait"): return try await wait(request)
      case (.POST, 3, "log", "producers"): return try await producers(request)
      case (_, 3...4, "log", "views"): return try await views(request, parts.dropFirst(3))
      case (let method, 4, "log", "partitions") where method == .GET: return try await bounds(try partition(parts[3]))
      case (let method, 5, "log", "partitions"):
        let partition = try partition(parts[3])
        switch (method, parts[4]) {
        case (.GET, "batches"): return try await read(request, partition)
        case (.GET, "first_offset"): return try await firstOffset(request, partition)
        default: return LogRoutes.refusal(request, allowed: LogRoutes.allowed(parts))
        }
      case (_, 3, "log", let name?) where ReportRoutes.allowed(name) != nil:
        return reports.answer(request, name, partitionCount: log.partitionCount)
          ?? LogRoutes.refusal(request, allowed: ReportRoutes.allowed(name))
      default: return LogRoutes.refusal(request, allowed: LogRoutes.allowed(parts))
      }
    } catch {
      return error.response
    }
  }

  // MARK: appending

  private func append(_ request: WireRequest) async -> WireResponse {
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

  /// Appends batches in order. After one that the log refuses at once none of its partition is tried: else a later one could be appended
  /// before it. Other partitions' are.
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

  private func read(_ request: WireRequest, _ partition: PartitionID) async throws(LogError) -> WireResponse {
    guard let parameters = request.parameters, let from = parameters["from"].flatMap({ Int64($0) }),
      let bytesMax = Int(parameters["bytes_max"] ?? "\(BatchFraming.groupBytesMax)"), bytesMax >= 0
    else { return LogRoutes.bad("bad_parameter", "from and bytes_max are whole numbers") }
    let batches = try await readers[partition.index % readers.count].read(
      partition, from: Offset(from), bytesMax: min(bytesMax, BatchFraming.bytesMax / 2))
    return WireResponse(contentType: WireContent.batches, body: BatchFraming.encode(batches))
  }

  private func readSome(_ request: WireRequest) async -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), let from = json["from"],
      let positions = try? OffsetVector(parsing: from.text), let first = positions.sorted.first?.partition,
      case .int(let bytesMax)? = json["bytes_max"], bytesMax >= 0
    else { return LogRoutes.bad("bad_request", #"expected {"from":{"0":118},"bytes_max":4194304}, of one partition at least"#) }
    let reads = await readers[first.index % readers.count].readSome(
      from: positions, bytesMax: Int(min(bytesMax, Int64(BatchFraming.bytesMax / 2))))
    return WireResponse(contentType: WireContent.reads, body: ReadCoding.encode(reads))
  }

  private func bounds(_ partition: PartitionID) async throws(LogError) -> WireResponse {
    let bounds = try await log.bounds(of: partition)
    return WireResponse(["start": .int(bounds.startOffset.rawValue), "high_watermark": .int(bounds.highWatermark.rawValue)])
  }

  private func firstOffset(_ request: WireRequest, _ partition: PartitionID) async throws(LogError) -> WireResponse {
    guard let time = request.parameters?["at"].flatMap({ Int64($0) }) else {
      return LogRoutes.bad("bad_parameter", "at is a time in nanoseconds since 1970")
    }
    let offset = try await readers[partition.index % readers.count].firstOffset(
      of: partition, atOrAfter: Timestamp(nanoseconds: time))
    return WireResponse(["offset": offset.map { .int($0.rawValue) } ?? .null])
  }

  /// Answers when some partition has passed its offset, or the time is up.
  private func wait(_ request: WireRequest) async throws(LogError) -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), let past = json["past"],
      let positions = try? OffsetVector(parsing: past.text), case .int(let milliseconds)? = json["timeout_ms"], milliseconds >= 0
    else { return LogRoutes.bad("bad_request", #"expected {"past":{"0":118},"timeout_ms":20000}"#) }
    let log = log
    let isPast = try await within(.milliseconds(min(milliseconds, 1 << 31))) { () async throws(LogError) in
      try await log.waitForAppend(past: positions)
    }
    return WireResponse(["appended": .bool(isPast)])
  }

  private func producers(_ request: WireRequest) async throws(LogError) -> WireResponse {
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

  private func partition(_ text: Substring) throws(LogError) -> PartitionID {
    guard let number = Int(text), (0..<log.partitionCount).contains(number) else {
      throw LogError(
        .unknownPartition, partition: UInt16(text).map { PartitionID($0) },
        "the log has partitions 0 to \(log.partitionCount - 1)")
    }
    return PartitionID(number)
  }

  /// - Parameters:
  ///   - request: That is not answered.
  ///   - allowed: What its path takes, as `Allow` has it; nil where there is no such path.
  static func refusal(_ request: WireRequest, allowed: String?) -> WireResponse {
    guard let allowed else {
      return WireResponse(
        HTTPProblem(status: 404, code: "not_found", detail: "there is no \(request.path.prefix(128)); see /openapi.json"))
    }
    return WireResponse(
      HTTPProblem(
        status: 405, code: "method_not_allowed", detail: "\(request.path.prefix(128)) takes \(allowed), not \(request.method)",
        headers: ["Allow": allowed]))
  }

  /// What the paths take that `answer` knows.
  private static func allowed(_ parts: [Substring]) -> String? {
    switch (parts.count, parts.dropFirst(2).first, parts.last) {
    case (2, nil, _), (4, "partitions", _), (5, "partitions", "batches"), (5, "partitions", "first_offset"):
      "GET"
    case (3, "batches", _), (3, "read", _), (3, "wait", _), (3, "producers", _): "POST"
    default: nil
    }
  }

  static func bad(_ code: String, _ detail: String) -> WireResponse {
    WireResponse(HTTPProblem(status: 400, code: code, detail: detail))
  }
}

/// The outcomes of one request's batches, gathered from the log's threads.
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
