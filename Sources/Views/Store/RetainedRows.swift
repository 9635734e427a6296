import Events

// A row with its source among the keys is in one partition, whose own time decides when retention deletes it. The parts of any
// other row lie in several partitions, and are hidden and dropped all or none: the slowest of the partitions that have seen
// events decides. Parts are dropped only once every partition of the log has passed, so that no slower one comes later.

extension PartialResult {
  /// For a view whose rows may lie in several partitions: rows that end at or before this are past retention, as are joined
  /// sessions that begin before it. Nil when none are; also where a row's own partition decides, since its rows are left out
  /// already.
  public var expiredEnd: Int64? {
    PartialResult.expiredEnd(definition, eventTimeWatermarks: eventTimeWatermarks, droppedEnd: droppedEnd)
  }

  /// - Parameters:
  ///   - definition: The view's definition.
  ///   - eventTimeWatermarks: The event-time watermarks of the partitions that have seen events.
  ///   - droppedEnd: Parts that end at or before this may be gone already.
  public static func expiredEnd(
    _ definition: ViewDefinition, eventTimeWatermarks: [PartitionID: Timestamp], droppedEnd: Int64?
  ) -> Int64? {
    guard definition.retention != nil, !definition.hasSourceKey else { return nil }
    let passed = eventTimeWatermarks.values.min().flatMap { definition.expiredEnd(at: $0.nanoseconds) }
    guard let droppedEnd else { return passed }
    return max(passed ?? .min, droppedEnd)
  }
}

extension PartialResult {
  /// - Throws: `.asOfUnreachable` when parts of these past rows, of several processes, have been dropped because of later events.
  public func checkWhole() throws(ViewStoreError) {
    guard let droppedEnd, !definition.hasSourceKey else { return }
    let passed = PartialResult.expiredEnd(definition, eventTimeWatermarks: eventTimeWatermarks, droppedEnd: nil) ?? .min
    guard droppedEnd > passed else { return }
    throw .asOfUnreachable(
      logStarts: OffsetVector(),
      detail:
        "retention has taken parts of rows that end by \(Timestamp(nanoseconds: droppedEnd)): as of these offsets they were kept")
  }
}

extension PartialRows {
  /// The rows that retention leaves, for windows of fixed lengths.
  /// - Parameter expiredEnd: Rows that end at or before it go; nil keeps all.
  public func retained(after expiredEnd: Int64?) -> PartialRows {
    guard let expiredEnd, windowEnds.contains(where: { $0 <= expiredEnd }) else { return self }
    var result = PartialRows(stride: stride)
    for row in 0..<count where windowEnds[row] > expiredEnd { result.append(row, of: self) }
    return result
  }

  /// The joined sessions that retention leaves: no part of one that begins at or after `expiredEnd` has been dropped.
  public func retainedSessions(from expiredEnd: Int64?) -> PartialRows {
    guard let expiredEnd else { return self }
    return filtered { $0 >= expiredEnd }
  }

  /// The rows of a store's answer that retention leaves, merged or joined for a result.
  /// - Parameters:
  ///   - definition: The view's definition.
  ///   - expiredEnd: `PartialResult.expiredEnd`.
  public func retained(for definition: ViewDefinition, after expiredEnd: Int64?) -> PartialRows {
    guard definition.joinsSessions(keptKeys: nil) else { return retained(after: expiredEnd).merged(for: definition) }
    return merged(for: definition).retainedSessions(from: expiredEnd)
  }
}

/// The rows of a stream that retention leaves.
struct RetainedPieces: RowPieces {
  var pieces: any RowPieces
  let expiredEnd: Int64

  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    while let rows = try await pieces.next() {
      let kept = rows.retained(after: expiredEnd)
      if kept.count > 0 { return kept }
    }
    return nil
  }
}

extension RowStream {
  /// The stream without rows past retention.
  public func retained() -> RowStream {
    guard let end = head.expiredEnd else { return self }
    var stream = self
    stream.pieces = RetainedPieces(pieces: pieces, expiredEnd: end)
    return stream
  }
}
