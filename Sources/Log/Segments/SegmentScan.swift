import Events

/// Scans a segment's batches in order, for start-up and for rebuilding an index. Nothing here writes.
enum SegmentScan {
  /// The end of a scan, and its reason.
  struct Stop: Equatable {
    var segment: Offset
    /// The end of the last whole batch.
    var position: Int
    var offset: Offset
    /// The damage; nil if the scan reached the limit.
    var damage: BatchError?
    /// The header at `position`, if it is whole and has the expected offset: then only the payload is damaged or missing.
    var header: BatchHeader?
  }

  /// Reads headers only, not payloads.
  /// - Parameter limit: The file's size.
  static func index(_ file: any File, partition: PartitionID, base: Offset, limit: Int, interval: Int)
    throws(IOFailure) -> (index: SparseIndex, stop: Stop)
  {
    var index = SparseIndex(base: base)
    let stop = try walk(file, partition, base, limit) { (cursor, header) throws(ReadFailure) in
      index.append(header, interval: interval)
      cursor.skip(header)
    }
    return (index, stop)
  }

  /// Reads and checks whole batches.
  static func batches(
    _ file: any File, partition: PartitionID, base: Offset, limit: Int, body: (ColumnBatch) -> Void
  ) throws(IOFailure) -> Stop {
    try walk(file, partition, base, limit) { (cursor, header) throws(ReadFailure) in body(try cursor.batch(header)) }
  }

  private static func walk(
    _ file: any File, _ partition: PartitionID, _ base: Offset, _ limit: Int,
    _ step: (inout SegmentCursor, BatchHeader) throws(ReadFailure) -> Void
  ) throws(IOFailure) -> Stop {
    var cursor = SegmentCursor(file, from: 0, to: limit)
    var stop = Stop(segment: base, position: 0, offset: base)
    do throws(ReadFailure) {
      while let header = try cursor.header(of: partition, at: stop.offset) {
        stop.header = header
        try step(&cursor, header)
        stop = Stop(segment: base, position: cursor.position, offset: header.endOffset)
      }
    } catch {
      switch error {
      case .io(let failure): throw failure
      case .damaged(let damage): stop.damage = damage
      }
    }
    return stop
  }
}
