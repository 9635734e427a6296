import Events
import Synchronization

/// A partition's segments for its readers: a list that does not change under them. The store extends it, any thread reads it.
final class SegmentReader: PartitionReader {
  private struct State {
    /// Ascending; each ends where the next begins, the last where `active` begins.
    var sealed: [SegmentSummary]
    /// As far as batches were published.
    var active: SparseIndex
    var activeFile: any File
    /// The ends of the last reads, so that the next read continues without searching; oldest first.
    var cursors: [ReadCursor] = []

    var start: Offset { sealed.first?.base ?? active.base }

    /// Whether segments are in order, without a gap between them.
    var isGapless: Bool {
      zip(sealed, sealed.dropFirst()).allSatisfy { $0.base <= $0.end && $0.end == $1.base }
        && sealed.last?.end ?? active.base == active.base
    }
  }

  private struct ReadCursor {
    var offset: Offset
    var segment: Offset
    var position: Int
  }

  /// Where a read begins.
  private enum Plan {
    case active(any File, base: Offset, at: SparseIndex.Entry, limit: Int)
    case sealed(SegmentSummary, position: Int?)
  }

  static let cursorsMax = 16

  let partition: PartitionID
  private let indexIntervalBytes: Int
  private let cache: SegmentCache
  private let state: Mutex<State>

  init(files: PartitionFiles, sealed: [SegmentSummary], active: SparseIndex, activeFile: any File) {
    partition = files.partition
    indexIntervalBytes = files.indexIntervalBytes
    cache = SegmentCache(files)
    let state = State(sealed: sealed, active: active, activeFile: activeFile)
    precondition(state.isGapless, "segments are gapless")
    self.state = Mutex(state)
  }

  /// The sealed segments, and the published part of the active one.
  var all: [SegmentSummary] {
    state.withLock { $0.sealed + [SegmentSummary($0.active)] }
  }

  // MARK: the store's side

  /// Makes batches of the active segment visible.
  func publish(_ batches: [ColumnBatch]) {
    state.withLock { state in
      for batch in batches { state.active.append(batch.header, interval: indexIntervalBytes) }
    }
  }

  /// Seals the active segment and begins the next one at its end.
  /// - Returns: The sealed segment's index.
  func roll(to file: any File) -> SparseIndex {
    state.withLock { state in
      let sealed = state.active
      state.sealed.append(SegmentSummary(sealed))
      state.active = SparseIndex(base: sealed.end)
      state.activeFile = file
      assert(state.isGapless, "segments are gapless")
      return sealed
    }
  }

  var activeBase: Offset { state.withLock { $0.active.base } }
  /// The published part of the active segment.
  var active: SegmentSummary { state.withLock { SegmentSummary($0.active) } }

  /// Forgets the oldest sealed segment. Reads under way go on.
  func removeFirst() {
    let base = state.withLock { state in
      let base = state.sealed.removeFirst().base
      assert(state.isGapless, "segments are gapless")
      return base
    }
    cache.evict(base)
  }

  // MARK: PartitionReader

  var startOffset: Offset { state.withLock { $0.start } }

  var size: (pieces: Int, bytes: Int) {
    state.withLock { ($0.sealed.count + 1, $0.sealed.reduce($0.active.segmentBytes) { $0 + $1.bytes }) }
  }

  /// Blocks the thread while it reads.
  func read(from start: Offset, below end: Offset, bytesMax: Int) throws(LogError) -> [ColumnBatch] {
    switch try plan(start) {
    case .active(let file, let base, let entry, let limit):
      return try read(
        file, segment: base, from: entry.offset, at: entry.position, limit: limit, start: start, end: end, bytesMax: bytesMax)
    case .sealed(let summary, let position):
      let segment = try cache.segment(summary)
      let place = position.map { (start, $0) } ?? segment.index.entry(atOrBefore: start).map { ($0.offset, $0.position) }
      guard let place else { throw .corrupt(partition, segment: summary.base, "no batch at offset \(start)") }
      return try read(
        segment.file, segment: summary.base, from: place.0, at: place.1, limit: summary.bytes, start: start, end: end,
        bytesMax: bytesMax)
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

  private func plan(_ start: Offset) throws(LogError) -> Plan {
    try state.withLock { (state) throws(LogError) in
      guard start >= state.start, start < state.active.end else {
        throw LogError(.outOfRange, partition: partition, "no segment holds offset \(start)")
      }
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

  /// Reads batches from a position where one begins. Any fault is corruption: all of it was durable.
  private func read(
    _ file: any File, segment: Offset, from offset: Offset, at position: Int, limit: Int, start: Offset, end: Offset,
    bytesMax: Int
  ) throws(LogError) -> [ColumnBatch] {
    var cursor = SegmentCursor(file, from: position, to: limit)
    var expected = offset
    var batches: [ColumnBatch] = []
    var bytes = 0
    do throws(ReadFailure) {
      while expected < end, let header = try cursor.header(of: partition, at: expected) {
        if header.endOffset <= start {
          cursor.skip(header)
        } else {
          guard batches.isEmpty || bytes + header.batchBytes <= bytesMax else { break }
          batches.append(try cursor.batch(header))
          bytes += header.batchBytes
        }
        expected = header.endOffset
      }
      // The limit lies beyond `start`, so a segment that ends before has lost something.
      guard !batches.isEmpty else { throw .damaged(BatchError(.truncated, at: 0)) }
    } catch {
      throw LogError(error, partition: partition, segment: segment, position: cursor.position)
    }
    let end = ReadCursor(offset: expected, segment: segment, position: cursor.position)
    state.withLock { state in
      state.cursors.removeAll { $0.offset == end.offset }
      if state.cursors.count == SegmentReader.cursorsMax { state.cursors.removeFirst() }
      state.cursors.append(end)
    }
    return batches
  }
}
