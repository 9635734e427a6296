import Events
import Synchronization

/// The part of a partition that readers see: everything below the high watermark. The writer extends it, any thread reads it.
final class PublishedLog: Sendable {
  private struct State {
    /// Ascending, each ending where the next begins, the last where `active` begins.
    var sealed: [SegmentSummary]
    /// Up to the high watermark.
    var active: SparseIndex
    var activeFile: any File
    var recent: RecentBatches
    /// Where the last reads ended, so that the next finds its place without searching; oldest first.
    var cursors: [ReadCursor] = []
  }

  private struct ReadCursor {
    var offset: Offset
    var segment: Offset
    var position: Int
  }

  /// Where a read begins.
  private enum Plan {
    case ready([ColumnBatch])
    case active(any File, base: Offset, at: SparseIndex.Entry, limit: Int)
    case sealed(SegmentSummary, position: Int?)
  }

  static let cursorsMax = 16

  let partition: PartitionID
  private let indexIntervalBytes: Int
  private let cache: SegmentCache
  private let state: Mutex<State>
  private let highWatermarkValue: Atomic<Int64>

  init(files: PartitionFiles, sealed: [SegmentSummary], active: SparseIndex, activeFile: any File, recentBytesMax: Int) {
    partition = files.partition
    indexIntervalBytes = files.indexIntervalBytes
    cache = SegmentCache(files)
    state = Mutex(
      State(sealed: sealed, active: active, activeFile: activeFile, recent: RecentBatches(bytesMax: recentBytesMax)))
    highWatermarkValue = Atomic(active.end.rawValue)
  }

  var highWatermark: Offset { Offset(highWatermarkValue.load(ordering: .sequentiallyConsistent)) }

  var bounds: PartitionBounds {
    state.withLock { PartitionBounds(startOffset: $0.sealed.first?.base ?? $0.active.base, highWatermark: $0.active.end) }
  }

  /// The sealed segments, and what the active one holds below the high watermark.
  var segments: [SegmentSummary] {
    state.withLock { $0.sealed + [SegmentSummary($0.active)] }
  }

  // MARK: The writer's side

  /// Makes batches of the active segment visible: durable, as far as the sync policy promises.
  func publish(_ batches: [ColumnBatch]) {
    let end = state.withLock { state in
      for batch in batches {
        state.active.append(batch.header, interval: indexIntervalBytes)
        state.recent.append(batch)
      }
      return state.active.end
    }
    highWatermarkValue.store(end.rawValue, ordering: .sequentiallyConsistent)
  }

  /// Seals the active segment and begins the next one at its end.
  /// - Returns: The sealed segment's index.
  func roll(to file: any File) -> SparseIndex {
    state.withLock { state in
      let sealed = state.active
      state.sealed.append(SegmentSummary(sealed))
      state.active = SparseIndex(base: sealed.end)
      state.activeFile = file
      return sealed
    }
  }

  var activeBase: Offset { state.withLock { $0.active.base } }
  /// Bytes of the active segment below the high watermark.
  var activeBytes: Int { state.withLock { $0.active.segmentBytes } }

  /// Forgets the oldest sealed segment. Reads under way go on.
  func removeFirst() {
    let base = state.withLock { $0.sealed.removeFirst().base }
    cache.evict(base)
  }

  // MARK: The readers' side

  /// As `EventLog.read`. Blocks the thread while it reads.
  func read(from start: Offset, bytesMax: Int) throws(LogError) -> [ColumnBatch] {
    if start == highWatermark { return [] }
    switch try plan(start, bytesMax: bytesMax) {
    case .ready(let batches):
      return batches
    case .active(let file, let base, let entry, let limit):
      return try read(file, segment: base, from: entry.offset, at: entry.position, limit: limit, start: start, bytesMax: bytesMax)
    case .sealed(let summary, let position):
      let segment = try open(summary, start)
      let place = position.map { (start, $0) } ?? segment.index.entry(atOrBefore: start).map { ($0.offset, $0.position) }
      guard let place else { throw .corrupt(partition, segment: summary.base, "no batch at offset \(start)") }
      return try read(
        segment.file, segment: summary.base, from: place.0, at: place.1, limit: summary.bytes, start: start, bytesMax: bytesMax)
    }
  }

  /// As `EventLog.firstOffset`.
  func firstOffset(atOrAfter time: Timestamp) throws(LogError) -> Offset? {
    let (sealed, active) = state.withLock { state in
      (state.sealed.first { $0.lastEventTime >= time }, state.active.offset(atOrAfter: time))
    }
    guard let sealed else { return active }
    return try cache.segment(sealed).index.offset(atOrAfter: time)
  }

  /// Opens a sealed segment, which retention may have removed since it was looked up.
  private func open(_ summary: SegmentSummary, _ start: Offset) throws(LogError) -> OpenSegment {
    do throws(LogError) {
      return try cache.segment(summary)
    } catch {
      let bounds = bounds
      guard start < bounds.startOffset else { throw error }
      throw outOfRange(start, bounds)
    }
  }

  private func outOfRange(_ start: Offset, _ bounds: PartitionBounds) -> LogError {
    LogError(
      .outOfRange, partition: partition,
      "offset \(start) is not kept: the partition holds \(bounds.startOffset) up to \(bounds.highWatermark)")
  }

  private func plan(_ start: Offset, bytesMax: Int) throws(LogError) -> Plan {
    try state.withLock { (state) throws(LogError) in
      let first = state.sealed.first?.base ?? state.active.base
      guard start >= first, start <= state.active.end else {
        throw outOfRange(start, PartitionBounds(startOffset: first, highWatermark: state.active.end))
      }
      if start == state.active.end { return .ready([]) }
      if let batches = state.recent.batches(from: start, bytesMax: bytesMax) { return .ready(batches) }
      let cursor = state.cursors.last { $0.offset == start }
      guard start < state.active.base else {
        // A cursor at a sealed segment's end has the active one's first offset, but not its position.
        let known = cursor.flatMap { $0.segment == state.active.base ? $0 : nil }.map {
          SparseIndex.Entry(offset: $0.offset, position: $0.position, lastEventTime: state.active.lastEventTime)
        }
        guard let entry = known ?? state.active.entry(atOrBefore: start) else {
          throw .corrupt(partition, segment: state.active.base, "no batch at offset \(start)")
        }
        return .active(state.activeFile, base: state.active.base, at: entry, limit: state.active.segmentBytes)
      }
      var low = 0
      var high = state.sealed.count
      while low < high {
        let middle = (low + high) / 2
        if state.sealed[middle].base <= start { low = middle + 1 } else { high = middle }
      }
      let summary = state.sealed[low - 1]
      return .sealed(summary, position: cursor?.segment == summary.base ? cursor?.position : nil)
    }
  }

  /// Reads batches from a place known to be the begin of one. Whatever does not check is corrupt: all of it was durable.
  private func read(
    _ file: any File, segment: Offset, from offset: Offset, at position: Int, limit: Int, start: Offset, bytesMax: Int
  ) throws(LogError) -> [ColumnBatch] {
    var cursor = SegmentCursor(file, from: position, to: limit)
    var expected = offset
    var batches: [ColumnBatch] = []
    var bytes = 0
    func corrupt(_ at: Int, _ damage: BatchError) -> LogError {
      .corrupt(partition, segment: segment, position: at, "\(damage)")
    }
    reading: while true {
      let next: SegmentCursor.Header
      do throws(IOFailure) { next = try cursor.header() } catch { throw LogError(error, partition: partition, segment: segment) }
      switch next {
      case .end:
        break reading
      case .damaged(let damage):
        throw corrupt(cursor.position, damage)
      case .batch(let header):
        guard header.partition == partition, header.baseOffset == expected else {
          throw corrupt(cursor.position, BatchError(.bounds, at: 6))
        }
        if header.endOffset <= start {
          cursor.skip(header)
        } else {
          guard batches.isEmpty || bytes + header.batchBytes <= bytesMax else { break reading }
          do throws(ReadFailure) {
            batches.append(try cursor.batch(header))
          } catch {
            switch error {
            case .io(let failure): throw LogError(failure, partition: partition, segment: segment)
            case .damaged(let damage): throw corrupt(cursor.position, damage)
            }
          }
          bytes += header.batchBytes
        }
        expected = header.endOffset
      }
    }
    // The limit lies beyond `start`, so a segment that ends before has lost something.
    guard !batches.isEmpty else { throw corrupt(cursor.position, BatchError(.truncated, at: 0)) }
    let end = ReadCursor(offset: expected, segment: segment, position: cursor.position)
    state.withLock { state in
      state.cursors.removeAll { $0.offset == end.offset }
      if state.cursors.count == PublishedLog.cursorsMax { state.cursors.removeFirst() }
      state.cursors.append(end)
    }
    return batches
  }
}
