import Events
import Serving

/// Answers `GET /v1/events` from a log.
struct EventAnswers: Sendable {
  private static let readBytes = 1 << 20

  let log: any EventLog
  let rowsMax: Int
  let scanBytesMax: Int
  let answerBytesMax: Int

  func answer(_ query: Substring, accept: String?) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(query, known: EventsQuery.parameterNames)
    let format = try RowFormat.choose(parameters["format"], accept: accept, among: RowFormat.allCases.filter(\.isNamed))
    var query = try EventsQuery(parameters, partitionCount: log.partitionCount, rowsMax: rowsMax)
    var page = EventsPage(query, format: format, bytesMax: answerBytesMax)
    let deadline = ContinuousClock.now + query.timeout
    var place: EventsPlace
    do throws(LogError) {
      place = try await fill(&page, query)
      while page.isEmpty, query.timeout > .zero, try await waitForAppend(past: place.next, until: deadline) {
        query.place = place
        place = try await fill(&page, query)
      }
    } catch {
      throw QueryFailure(error)
    }
    let isAtEnd = place.ends.map { place.next.reaches($0) } ?? false
    let cursor = isAtEnd ? nil : place.text(fingerprint: query.fingerprint)
    var answer = HTTPAnswer(200, format.contentType, page.finish(cursor: cursor, asOf: place.next))
    if !format.isDocument {
      answer.headers.append(("Penstock-As-Of", place.next.description))
      if let cursor { answer.headers.append(("Penstock-Next-Cursor", cursor)) }
    }
    return answer
  }

  /// - Returns: Whether an event was appended before the deadline.
  private func waitForAppend(past positions: OffsetVector, until deadline: ContinuousClock.Instant) async throws(LogError) -> Bool
  {
    guard ContinuousClock.now < deadline, !Task.isCancelled else { return false }
    let log = log
    let result = await withTaskGroup(of: Result<Bool, LogError>.self) { group in
      group.addTask {
        do throws(LogError) {
          try await log.waitForAppend(past: positions)
          return .success(!Task.isCancelled)
        } catch {
          return .failure(error)
        }
      }
      group.addTask {
        // Cancelled when an append came first.
        try? await Task.sleep(until: deadline)
        return .success(false)
      }
      defer { group.cancelAll() }
      return await group.next() ?? .success(false)
    }
    return try result.get()
  }

  /// Reads partition by partition until the page is full, enough bytes were read, or all is read.
  private func fill(_ page: inout EventsPage, _ query: EventsQuery) async throws(LogError) -> EventsPlace {
    let partitions = query.source.map { [log.partition(of: $0)] } ?? (0..<log.partitionCount).map { PartitionID($0) }
    var place: EventsPlace
    if let known = query.place { place = known } else { place = try await begin(partitions, query) }
    // A query that follows takes the partitions in turn, beginning with the one after the partition that filled the previous
    // page.
    let first = query.isFollowing ? partitions.firstIndex(of: place.partition) ?? 0 : 0
    var budget = scanBytesMax
    for number in partitions.indices {
      let index = (first + number) % partitions.count
      let partition = partitions[index]
      let end: Offset
      if let ends = place.ends { end = ends[partition] ?? .zero } else { end = try await log.bounds(of: partition).highWatermark }
      var next = place.next[partition] ?? .zero
      while next < end, !page.isFull, budget > 0 {
        try await read(partition, &next, end, &page, &budget)
      }
      place.next[partition] = next
      if page.isFull || budget <= 0 {
        place.partition = partitions[(index + (query.isFollowing ? 1 : 0)) % partitions.count]
        break
      }
    }
    return place
  }

  private func read(
    _ partition: PartitionID, _ next: inout Offset, _ end: Offset, _ page: inout EventsPage, _ budget: inout Int
  ) async throws(LogError) {
    let batches: [ColumnBatch]
    do throws(LogError) {
      batches = try await log.read(partition, from: next, bytesMax: min(EventAnswers.readBytes, budget))
    } catch {
      // Retention may have deleted these events since the cursor was given out.
      guard error.code == .outOfRange else { throw error }
      let start = try await log.bounds(of: partition).startOffset
      guard start > next else { throw error }
      next = min(start, end)
      return
    }
    guard !batches.isEmpty else {
      throw LogError(.unavailable, partition: partition, "nothing to read at offset \(next), below the high watermark \(end)")
    }
    for batch in batches where batch.endOffset > next {
      next = min(end, page.take(batch, from: next, to: end))
      budget -= batch.encoded.count
      guard next < end, !page.isFull, budget > 0 else { return }
      // A batch is a piece of work: others' pieces run between.
      await Task.yield()
    }
  }

  /// The first page's beginning, and the end of its pages.
  private func begin(_ partitions: [PartitionID], _ query: EventsQuery) async throws(LogError) -> EventsPlace {
    var place = EventsPlace(next: OffsetVector(), ends: query.isFollowing ? nil : OffsetVector(), partition: partitions[0])
    for partition in partitions {
      let bounds = try await log.bounds(of: partition)
      var start = bounds.startOffset
      if let from = query.from {
        let found = try await log.firstOffset(of: partition, atOrAfter: Timestamp(nanoseconds: from))
        start = min(max(start, found ?? bounds.highWatermark), bounds.highWatermark)
      } else if let offsets = query.fromOffsets {
        start = offsets[partition].map { min(max(start, $0), bounds.highWatermark) } ?? bounds.highWatermark
      }
      place.next[partition] = start
      place.ends?[partition] = bounds.highWatermark
    }
    return place
  }
}

/// A page of raw events as it is written.
struct EventsPage: Sendable {
  private let selection: EventSelection
  private let format: RowFormat
  private let limit: Int
  private let bytesMax: Int
  private var count = 0
  private var output: [UInt8] = []

  init(_ query: EventsQuery, format: RowFormat, bytesMax: Int) {
    selection = EventSelection(query)
    limit = query.limit
    self.format = format
    self.bytesMax = bytesMax
    if format.isDocument { output.append(contentsOf: #"{"events":["#.utf8) }
  }

  var isEmpty: Bool { count == 0 }
  var isFull: Bool { count >= limit || output.count >= bytesMax }

  /// Writes the wanted events, as far as there is room.
  /// - Parameters:
  ///   - start: Earlier events are left out, as are those from `end` on.
  /// - Returns: The first offset not read.
  mutating func take(_ batch: ColumnBatch, from start: Offset, to end: Offset) -> Offset {
    let first = max(0, batch.baseOffset.distance(to: start))
    let last = min(batch.count, batch.baseOffset.distance(to: end))
    guard first < last, !selection.skips(batch.header) else { return batch.endOffset }
    let rows = selection.rows(of: batch, in: first..<last, limit: limit - count)
    guard !rows.isEmpty else { return batch.endOffset }
    var writer = EventLineWriter()
    let style = EventLineWriter.Style(separator: format.objectSeparator, hasPlace: true)
    let written = writer.append(batch, rows, as: style, bytesMax: max(1, bytesMax - output.count))
    writer.withBytes { output.append(contentsOf: $0) }
    count += written
    if isFull { return batch.baseOffset.advanced(by: rows[written - 1] + 1) }
    return batch.endOffset
  }

  mutating func finish(cursor: String?, asOf: OffsetVector) -> [UInt8] {
    guard format.isDocument else { return output }
    // A comma follows each event.
    if count > 0 { output.removeLast() }
    output.append(contentsOf: #"],"next_cursor":"#.utf8)
    if let cursor { JSONValue.writeString(cursor, to: &output) } else { output.append(contentsOf: "null".utf8) }
    output.append(contentsOf: #","as_of":"#.utf8)
    output.append(contentsOf: asOf.description.utf8)
    output.append(0x7D)
    return output
  }
}
