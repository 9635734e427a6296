import Events
import Serving
import Views

/// A stream's events: the rows, then each change, at most one of a row in an interval.
///
/// Each piece is made when the previous one has been sent: a slow reader's changes are never made, since the next ones
/// are found by comparing its rows with the present ones.
struct LivePieces: BodyPieces {
  /// A comment after this time shows that the stream lives.
  static let heartbeat: Duration = .seconds(15)
  /// A reader that takes longer for a piece is told that it has missed changes.
  static let stallMin: Duration = .seconds(5)
  private static let rowsOfEventMax = 500

  private let reader: LiveReader
  private let log: any EventLog
  private let streams: LiveStreams
  private let slot: LiveSlot
  private let interval: Duration
  private var sent = LiveRows()
  private var asOf = OffsetVector()
  private var generation = 0
  /// Events that are made and not sent, the last one first.
  private var waiting: [[UInt8]] = []
  private var updatedAt = ContinuousClock.now
  private var gaveAt: ContinuousClock.Instant?
  private var isOver = false

  init(reader: LiveReader, log: any EventLog, streams: LiveStreams, slot: LiveSlot, interval: Duration) {
    self.reader = reader
    self.log = log
    self.streams = streams
    self.slot = slot
    self.interval = interval
  }

  /// Reads the first result: all of it, or the changes since the reader left.
  /// - Parameter waits: Whether reading may take waiting; others go on meanwhile.
  mutating func begin(resumed: OffsetVector?, waits: Bool) async throws(QueryFailure) {
    let turn = waits ? nil : await streams.turns.take()
    // The rows that the reader has must not become older.
    let result = try await reader.read(after: resumed)
    take(first: result, resumed: resumed)
    _ = consume turn
    try hold()
  }

  private mutating func take(first result: ViewResult, resumed: OffsetVector?) {
    if let resumed, let rows = streams.rows(of: LivePieces.queryID(result), asOf: resumed) {
      (sent, asOf, generation) = (rows, resumed, result.query.generation)
      update(to: result)
    } else {
      // Even where nothing was counted since: a row becomes final with the time that passes, too.
      snapshot(result)
    }
  }

  func attach(cut: @escaping @Sendable () -> Void) { slot.attach(cut: cut) }

  mutating func next() async throws -> [UInt8]? {
    let now = ContinuousClock.now
    slot.taken()
    let stall = gaveAt.map { now - $0 } ?? .zero
    if stall > max(LivePieces.stallMin, interval * 4), !isOver { await lagged(stall) }
    let piece = try await piece()
    gaveAt = .now
    if let piece { slot.gave(piece.count, of: heldBytes) }
    return piece
  }

  /// The bytes that the stream keeps in memory between two pieces.
  private var heldBytes: Int { waiting.reduce(0) { $0 + $1.count } + sent.bytes }

  private func hold() throws(QueryFailure) { try slot.hold(heldBytes) }

  private mutating func piece() async throws -> [UInt8]? {
    if let event = waiting.popLast() { return event }
    guard !isOver else { return nil }
    var pause: Duration = .milliseconds(10)
    var spokeAt = ContinuousClock.now
    while !Task.isCancelled {
      switch await wake(by: spokeAt + LivePieces.heartbeat) {
      case .draining:
        isOver = true
        return LivePieces.end(reason: "shutting down", code: "shutting_down")
      case .idle, .appended: break
      }
      guard !Task.isCancelled else { break }
      do throws(QueryFailure) {
        let turn = await streams.turns.take()
        let result = try await reader.read()
        // A worker that was restarted may be behind the sent rows; it catches up.
        if result.asOf.reaches(asOf) { update(to: result) }
        _ = consume turn
        try hold()
      } catch {
        return fail(error)
      }
      if let event = waiting.popLast() { return event }
      let now = ContinuousClock.now
      if now - spokeAt >= LivePieces.heartbeat {
        spokeAt = now
        return Array(": \n\n".utf8)
      }
      // The appended events are not counted yet.
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, interval)
    }
    return nil
  }

  private enum Wake { case appended, idle, draining }

  /// Returns when there may be news and the interval has passed, at the latest at `deadline`, or when the service drains.
  private func wake(by deadline: ContinuousClock.Instant) async -> Wake {
    let (log, drain, asOf, earliest) = (log, streams.drain, asOf, updatedAt + interval)
    return await withTaskGroup(of: Wake.self) { group in
      group.addTask {
        await drain.wait()
        return .draining
      }
      group.addTask {
        // Either sleep is cut short only when another wake came first.
        do throws(LogError) { try await log.waitForAppend(past: asOf) } catch { try? await Task.sleep(until: deadline) }
        try? await Task.sleep(until: earliest)
        return .appended
      }
      group.addTask {
        try? await Task.sleep(until: deadline)
        return .idle
      }
      let first = await group.next() ?? .idle
      group.cancelAll()
      if drain.isSet { return .draining }
      // A cancelled wait says nothing.
      return first == .draining ? .idle : first
    }
  }

  private mutating func update(to result: ViewResult) {
    guard result.query.generation == generation else { return snapshot(result) }
    let change = sent.advance(to: result)
    asOf = result.asOf
    // Without an event the reader keeps its id, and these are the rows that belong to it.
    guard !change.isEmpty else { return }
    slot.note(LivePieces.queryID(result), asOf, sent)
    updatedAt = .now
    var events = LivePieces.events("change", change.rows, result, isLast: change.gone.isEmpty)
    events += LivePieces.events("gone", change.gone, result)
    waiting = events.reversed()
  }

  private mutating func snapshot(_ result: ViewResult) {
    sent = LiveRows()
    let change = sent.advance(to: result)
    (asOf, generation) = (result.asOf, result.query.generation)
    slot.note(LivePieces.queryID(result), asOf, sent)
    updatedAt = .now
    waiting = LivePieces.events("rows", change.rows, result).reversed()
  }

  /// The reader has missed changes: it is told, and gets all rows anew.
  private mutating func lagged(_ stall: Duration) async {
    // The waiting events are made anew.
    waiting = []
    do throws(QueryFailure) {
      let turn = await streams.turns.take()
      snapshot(try await reader.read(after: asOf))
      _ = consume turn
      waiting.append(Array("event: lagged\ndata: {\"seconds\":\(stall.components.seconds)}\n\n".utf8))
      try hold()
    } catch {
      waiting = [fail(error)]
    }
  }

  /// The stream's last event; its memory is freed.
  private mutating func fail(_ failure: QueryFailure) -> [UInt8] {
    isOver = true
    waiting = []
    sent = LiveRows()
    return LivePieces.failure(failure)
  }

  /// Rows as events of at most this many rows; the last event of an update has the id, so that a reader who leaves between them
  /// does not miss the rest.
  private static func events(_ name: String, _ rows: [[UInt8]], _ result: ViewResult, isLast: Bool = true) -> [[UInt8]] {
    guard !rows.isEmpty || name == "rows" else { return [] }
    var events: [[UInt8]] = []
    var start = 0
    repeat {
      let end = min(rows.count, start + rowsOfEventMax)
      let hasMore = end < rows.count
      var event = Array((hasMore || !isLast ? "" : "id: \(result.asOf.description)\n").utf8)
      event.append(contentsOf: "event: \(name)\ndata: {\"view\":\"\(result.query.definition.name)\",".utf8)
      event.append(contentsOf: "\"generation\":\(result.query.generation),\"as_of\":\(result.asOf.description),".utf8)
      if name == "rows", start == 0 {
        event.append(contentsOf: "\"columns\":".utf8)
        event.append(contentsOf: result.query.columnsText)
        event.append(0x2C)
      }
      event.append(contentsOf: "\"rows\":[".utf8)
      for (index, row) in rows[start..<end].enumerated() {
        if index > 0 { event.append(0x2C) }
        event.append(contentsOf: row)
      }
      event.append(contentsOf: "],\"more\":\(hasMore)}\n\n".utf8)
      events.append(event)
      start = end
    } while start < rows.count
    return events
  }

  /// The last event of a stream whose reader may read no longer.
  @Sendable static func end(_ problem: HTTPProblem) -> [UInt8] { end(reason: problem.detail, code: problem.code) }

  /// The last event of a stream that ends in order.
  static func end(reason: String, code: String) -> [UInt8] {
    var members = JSONObject()
    members["reason"] = .string(reason)
    members["code"] = .string(code)
    var bytes = Array("event: end\ndata: ".utf8)
    JSONValue.object(members).write(to: &bytes)
    bytes.append(contentsOf: "\n\n".utf8)
    return bytes
  }

  private static func failure(_ failure: QueryFailure) -> [UInt8] {
    var bytes = Array("event: error\ndata: ".utf8)
    bytes.append(contentsOf: failure.problem.body(extra: failure.extra))
    bytes.append(contentsOf: "\n\n".utf8)
    return bytes
  }

  private static func queryID(_ result: ViewResult) -> String {
    "\(result.query.fingerprint) \(result.query.generation) \(result.query.definition.generationHash)"
  }
}
