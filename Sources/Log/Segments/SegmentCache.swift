import Events
import Synchronization

/// An open sealed segment: its file and its index. Lives on while a reader holds it, even when retention has removed the names.
final class OpenSegment: Sendable {
  let file: any File
  let index: SparseIndex

  init(file: any File, index: SparseIndex) {
    self.file = file
    self.index = index
  }
}

/// The sealed segments of a partition that were last read: at most 16 open files and indexes.
final class SegmentCache: Sendable {
  static let segmentsMax = 16

  private let files: PartitionFiles
  /// In the order of use, the latest last.
  private let cached = Mutex<[OpenSegment]>([])

  init(_ files: PartitionFiles) { self.files = files }

  /// The segment, opened if necessary. Two threads may open the same one at once; the later one is kept.
  func segment(_ summary: SegmentSummary) throws(LogError) -> OpenSegment {
    let hit = cached.withLock { segments -> OpenSegment? in
      guard let place = segments.lastIndex(where: { $0.index.base == summary.base }) else { return nil }
      let segment = segments.remove(at: place)
      segments.append(segment)
      return segment
    }
    if let hit { return hit }
    let segment = try files.open(summary)
    cached.withLock { segments in
      segments.removeAll { $0.index.base == summary.base }
      segments.append(segment)
      if segments.count > SegmentCache.segmentsMax { segments.removeFirst() }
    }
    return segment
  }

  func evict(_ base: Offset) {
    cached.withLock { $0.removeAll { $0.index.base == base } }
  }
}
