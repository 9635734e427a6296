import Events
import Synchronization
import Views

/// The event-time watermarks on disk of the partitions of generations whose rows lie in several of them: a part of a
/// row goes only when retention has passed in every partition of the log, so a row is there whole or not at all.
///
/// Watermarks only rise, and a crash takes none back that is on disk: a value here may be old, never wrong.
final class RetentionHorizons: Sendable {
  private let partitionCount: Int
  private let watermarks = Mutex<[GenerationID: [PartitionID: Int64]]>([:])
  /// The slowest watermark of all partitions, where other processes have some of them: as reported by a process that asks them
  /// all.
  private let slowest = Mutex<[GenerationID: Int64]>([:])

  init(partitionCount: Int) { self.partitionCount = partitionCount }

  /// The fold's watermark is on disk.
  func note(_ id: GenerationID, _ fold: borrowing ViewFold) {
    guard fold.definition.retention != nil, !fold.definition.hasSourceKey, let time = fold.eventTimeWatermark else { return }
    let partition = fold.progress.partition
    watermarks.withLock { $0[id, default: [:]][partition] = max($0[id]?[partition] ?? .min, time.nanoseconds) }
  }

  func noteSlowest(_ id: GenerationID, _ eventTimeWatermark: Timestamp) {
    slowest.withLock { $0[id] = max($0[id] ?? .min, eventTimeWatermark.nanoseconds) }
  }

  func forget(_ id: GenerationID) {
    watermarks.withLock { $0[id] = nil }
    slowest.withLock { $0[id] = nil }
  }

  /// Rows of the fold that end at or before this may go; nil when none may.
  func droppableEnd(_ id: GenerationID, _ fold: borrowing ViewFold) -> Int64? {
    guard fold.definition.retention != nil else { return nil }
    if fold.definition.hasSourceKey { return fold.clock.expiredEnd }
    let own = watermarks.withLock { watermarks -> Int64? in
      guard let known = watermarks[id], known.count == partitionCount else { return nil }
      return known.values.min()
    }
    let told = slowest.withLock { $0[id] }
    guard own != nil || told != nil else { return nil }
    return fold.definition.expiredEnd(at: max(own ?? .min, told ?? .min))
  }
}
