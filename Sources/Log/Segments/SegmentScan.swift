import Events

/// Scans a segment's batches in order, for start-up and for rebuilding an index. Nothing here writes.
enum SegmentScan {
  /// The end of a scan, and its reason.
  struct Stop: Equatable {
    /// The segment's base offset.
    var segment: Offset
    /// The end of the last whole batch.
    var position: Int
    /// The offset after it.
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
    var cursor = SegmentCursor(file, from: 0, to: limit)
    while true {
      switch try cursor.header() {
      case .end:
        return (index, Stop(segment: base, position: cursor.position, offset: index.end))
      case .damaged(let damage):
        return (index, Stop(segment: base, position: cursor.position, offset: index.end, damage: damage))
      case .batch(let header):
        guard header.partition == partition, header.baseOffset == index.end else {
          return (index, Stop(segment: base, position: cursor.position, offset: index.end, damage: BatchError(.bounds, at: 6)))
        }
        index.append(header, interval: interval)
        cursor.skip(header)
      }
    }
  }

  /// Reads and checks whole batches.
  static func batches(
    _ file: any File, partition: PartitionID, base: Offset, limit: Int, body: (ColumnBatch) -> Void
  ) throws(IOFailure) -> Stop {
    var expected = base
    var cursor = SegmentCursor(file, from: 0, to: limit)
    while true {
      switch try cursor.header() {
      case .end:
        return Stop(segment: base, position: cursor.position, offset: expected)
      case .damaged(let damage):
        return Stop(segment: base, position: cursor.position, offset: expected, damage: damage)
      case .batch(let header):
        guard header.partition == partition, header.baseOffset == expected else {
          return Stop(segment: base, position: cursor.position, offset: expected, damage: BatchError(.bounds, at: 6))
        }
        do throws(ReadFailure) {
          body(try cursor.batch(header))
          expected = header.endOffset
        } catch {
          switch error {
          case .io(let failure): throw failure
          case .damaged(let damage):
            return Stop(segment: base, position: cursor.position, offset: expected, damage: damage, header: header)
          }
        }
      }
    }
  }
}
