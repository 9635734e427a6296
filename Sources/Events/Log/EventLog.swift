/// The seam between those who write or read events and what keeps them: the segmented log on disk, or a log over the wire.
///
/// Nothing above this protocol knows of files.
public protocol EventLog: Sendable {
  /// Fixed when the log is made, 1 ... `PartitionID.countMax`.
  var partitionCount: Int { get }

  /// Which log it is, as it was when it was opened: offsets and counts that are known of it hold of no other.
  var identity: LogIdentity { get }

  /// Why nothing of it may be used any more: another log answers now in its place, and perhaps it comes back. Nil as a rule.
  var replacement: LogError? { get }

  /// Appends one batch to the partition its header names, and completes once it is synced (as far as the sync policy promises).
  ///
  /// Returns at once; never blocks, so an event loop may call it. Batches given by one caller for one partition are taken in order.
  /// - Parameters:
  ///   - batch: 1...65,536 events. Partition is read from its header; base offset and append time are given by the log.
  ///   - completion: Called exactly once, on a thread of the log's; must not block.
  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void)

  /// The whole batches that hold events from `start` up to the high watermark, in order, as far as `bytesMax` allows (one at least).
  /// The first batch may begin before `start`: the caller skips those rows. Empty at the high watermark.
  /// - Throws: `LogError` with `.outOfRange` when `start` is below the first kept offset or above the high watermark.
  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]

  /// What several partitions hold, each as `read` has it: of the first by number, and of as many behind it as come with the same journey and
  /// within `bytesMax` bytes, but for the last one's first batch.
  /// - Parameters:
  ///   - positions: The offset to begin with in each partition.
  ///   - bytesMax: Of all that is read.
  /// - Returns: Of one partition at least, in the order of their numbers, each with its batches or its own failure; nothing of none.
  nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead]

  /// The first kept offset and the high watermark: `startOffset <= highWatermark`.
  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds

  /// As `bounds`, where that takes no long wait: while a log in another process does not answer, as it told them last.
  /// - Returns: Nil where it has told none yet.
  nonisolated(nonsending) func lastBounds(of partition: PartitionID) async -> KnownBounds?

  /// Returns when some partition in `positions` has a high watermark above the offset given, or the task is cancelled.
  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError)

  /// The last durable sequence of each source that has one.
  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition]

  /// The offset to start at so as to see every event of `partition` whose event time is `time` or later: a place in the sparse index,
  /// so events before it may follow. Nil when the partition holds none that late.
  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
}

extension EventLog {
  /// Where nothing can take its place: nil.
  public var replacement: LogError? { nil }

  /// Where the log is in this process: it always answers.
  public nonisolated(nonsending) func lastBounds(of partition: PartitionID) async -> KnownBounds? {
    do throws(LogError) { return KnownBounds(try await bounds(of: partition)) } catch { return nil }
  }

  /// Where nothing is saved by reading several at once: the first.
  public nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    guard let (partition, start) = positions.sorted.first else { return [] }
    do throws(LogError) {
      return [PartitionRead(partition, .success(try await read(partition, from: start, bytesMax: bytesMax)))]
    } catch {
      return [PartitionRead(partition, .failure(error))]
    }
  }

  /// The partition of a source: FNV-1a over its UTF-8, mixed, modulo the partition count.
  public func partition(of source: String) -> PartitionID {
    var copy = source
    return copy.withUTF8 { PartitionID(Int(stableHash(UnsafeRawBufferPointer($0)) % UInt64(partitionCount))) }
  }

  /// `append(_:completion:)` for callers that can wait.
  public func append(_ batch: ColumnBatch) async throws(LogError) -> AppendReceipt {
    let result = await withCheckedContinuation { continuation in
      append(batch) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }
}

/// What a read gave of one partition.
public struct PartitionRead: Sendable {
  public var partition: PartitionID
  public var result: Result<[ColumnBatch], LogError>

  public init(_ partition: PartitionID, _ result: Result<[ColumnBatch], LogError>) {
    self.partition = partition
    self.result = result
  }
}

/// What became of an appended batch.
public struct AppendReceipt: Sendable, Hashable {
  /// Batches that one appender may have sent to one partition and not yet been answered for, where answers can be lost: a log remembers
  /// as many receipts.
  public static let unansweredBatchesMax = 64

  /// Offset of the first event appended; dense from there. Equal to `endOffset` when none was.
  public var baseOffset: Offset
  /// The partition's next offset after this batch.
  public var endOffset: Offset
  /// Rows of the given batch that were not appended, in row order; empty as a rule.
  public var exceptions: [Exception]
  /// Whose the first of the exceptions are that people ask about, in row order: those fenced, and duplicates that are suspect. At most `namedMax`;
  /// empty where the receipt is remembered from before.
  public var named: [Named] = []

  public static let namedMax = 16

  /// An exception's source, and where that is.
  public struct Named: Sendable, Hashable {
    public var row: Int
    /// At most `RejectedEvent.sourceBytesMax` bytes of it.
    public var source: String
    public var sequence: UInt64
    /// The source's last in the log.
    public var last: ProducerPosition

    public init(row: Int, source: String, sequence: UInt64, last: ProducerPosition) {
      self.row = row
      self.source = source
      self.sequence = sequence
      self.last = last
    }
  }

  public struct Exception: Sendable, Hashable {
    /// Why a duplicate by sequence may be none, but an event that nobody has: its device's count has jumped ahead, or begun anew.
    public enum Suspicion: UInt8, Sendable {
      /// No event of this sequence was appended: the count has jumped over it.
      case skipped = 1
      /// Its time is later than that of any event its source has in the log.
      case newer = 2
    }

    public enum Reason: Sendable, Hashable {
      /// Already in the log: (source, epoch, sequence) not above the last durable, or (source, id) within the dedup window.
      case duplicate
      /// Its epoch is below the source's present one.
      case fenced(currentEpoch: UInt64)
    }
    public var row: Int
    public var reason: Reason
    /// Of a duplicate; nil as a rule.
    public var suspicion: Suspicion?
    public init(row: Int, reason: Reason, suspicion: Suspicion? = nil) {
      self.row = row
      self.reason = reason
      self.suspicion = suspicion
    }

    /// The 64 bits that tell the rest of an exception whose row and kind are told besides: the epoch of one that is fenced, else the suspicion or 0.
    public var detailBits: UInt64 {
      switch reason {
      case .duplicate: UInt64(suspicion?.rawValue ?? 0)
      case .fenced(let epoch): epoch
      }
    }

    /// - Parameters:
    ///   - row: Of the batch.
    ///   - isFenced: What kind it is.
    ///   - detailBits: As `detailBits` gives them; a suspicion that is not known is none.
    public init(row: Int, isFenced: Bool, detailBits: UInt64) {
      self.init(
        row: row, reason: isFenced ? .fenced(currentEpoch: detailBits) : .duplicate,
        suspicion: isFenced ? nil : UInt8(exactly: detailBits).flatMap(Suspicion.init))
    }

    public var isFenced: Bool { reason != .duplicate }
  }

  public init(baseOffset: Offset, endOffset: Offset, exceptions: [Exception] = []) {
    self.baseOffset = baseOffset
    self.endOffset = endOffset
    self.exceptions = exceptions
  }
}

public struct PartitionBounds: Sendable, Hashable {
  public var startOffset: Offset
  public var highWatermark: Offset
  public init(startOffset: Offset, highWatermark: Offset) {
    self.startOffset = startOffset
    self.highWatermark = highWatermark
  }
}

/// A partition's bounds as they were told last.
public struct KnownBounds: Sendable, Hashable {
  public var bounds: PartitionBounds
  /// Whether the log has told them just now; if not, it may hold more by now, and nothing follows from what it does not.
  public var isCurrent: Bool
  public init(_ bounds: PartitionBounds, isCurrent: Bool = true) {
    self.bounds = bounds
    self.isCurrent = isCurrent
  }
}

/// The last durable sequence of a source.
public struct ProducerPosition: Sendable, Hashable {
  public var epoch: UInt64
  public var sequence: UInt64
  public init(epoch: UInt64, sequence: UInt64) {
    self.epoch = epoch
    self.sequence = sequence
  }
}

/// An operational failure of a log, with its place.
public struct LogError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// An earlier sync failed; reopen the partition to recover.
    case poisoned
    /// Damage before the tail: the partition does not open.
    case corrupt
    /// A system call failed; see `errno`.
    case io
    /// Another process holds the log's lock.
    case locked
    case outOfRange = "out_of_range"
    case unknownPartition = "unknown_partition"
    /// The log is shutting down or its queue is full: try again later.
    case unavailable
    /// The disk has less room left than the log keeps in reserve: appends are taken again once there is more.
    case diskFull = "disk_full"
    /// The files are of a version, or a partition count, this program does not read.
    case incompatible
    /// Another log answers than the one that was opened.
    case anotherLog = "another_log"
  }

  public var code: Code
  public var partition: PartitionID?
  /// Base offset of the segment.
  public var segment: Offset?
  /// Byte in the segment's file.
  public var position: Int?
  public var errno: Int32?
  public var detail: String

  public init(
    _ code: Code, partition: PartitionID? = nil, segment: Offset? = nil, position: Int? = nil, errno: Int32? = nil,
    _ detail: String
  ) {
    self.code = code
    self.partition = partition
    self.segment = segment
    self.position = position
    self.errno = errno
    self.detail = detail
  }

  public var description: String {
    var place: [String] = []
    if let partition { place.append("partition \(partition)") }
    if let segment { place.append("segment \(segment)") }
    if let position { place.append("byte \(position)") }
    if let errno { place.append("errno \(errno)") }
    return "log: \(code.rawValue): \(detail)" + (place.isEmpty ? "" : " (\(place.joined(separator: ", ")))")
  }
}

/// FNV-1a, 64 bits, then murmur3's finaliser: the hash that places a source in a partition. Part of the log's format.
/// Source: Fowler, Noll, Vo; Austin Appleby, MurmurHash3 `fmix64`.
/// - Parameters:
///   - bytes: The text, of any length.
///   - seed: Another start gives another hash, independent enough that two together identify a text.
@inlinable public func stableHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
  var hash = seed
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  hash = (hash ^ (hash &>> 33)) &* 0xff51_afd7_ed55_8ccd
  hash = (hash ^ (hash &>> 33)) &* 0xc4ce_b9fe_1a85_ec53
  return hash ^ (hash &>> 33)
}
