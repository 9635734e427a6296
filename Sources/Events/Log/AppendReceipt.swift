/// The result of appending a batch.
public struct AppendReceipt: Sendable, Hashable {
  /// The most batches of one appender and partition that may be unanswered, where answers can be lost: a log remembers
  /// as many receipts.
  public static let unansweredBatchesMax = 64

  /// The offset of the first appended event; dense from there. Equal to `endOffset` when none was.
  public var baseOffset: Offset
  /// The partition's next offset after this batch.
  public var endOffset: Offset
  /// Rows of the given batch that were not appended, in row order; empty as a rule.
  public var exceptions: [Exception]
  /// The first exceptions that people ask about, with their sources, in row order: fenced ones, and suspect duplicates.
  /// At most `namedMax`; empty in a receipt that the log remembered.
  public var named: [Named] = []

  public static let namedMax = 16

  /// An exception's source, and that source's position.
  public struct Named: Sendable, Hashable {
    public var row: Int
    /// At most `RejectedEvent.sourceBytesMax` bytes of the source.
    public var source: String
    public var sequence: UInt64
    public var last: ProducerPosition

    public init(row: Int, source: String, sequence: UInt64, last: ProducerPosition) {
      self.row = row
      self.source = source
      self.sequence = sequence
      self.last = last
    }
  }

  public struct Exception: Sendable, Hashable {
    /// The reason why a duplicate by sequence may be a new event that nobody has: its device's count has jumped ahead, or begun
    /// anew.
    public enum Suspicion: UInt8, Sendable {
      /// No event with this sequence was appended: the count has jumped over it.
      case skipped = 1
      /// Its time is later than that of every event of its source in the log.
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
    /// Set for a suspect duplicate.
    public var suspicion: Suspicion?
    public init(row: Int, reason: Reason, suspicion: Suspicion? = nil) {
      self.row = row
      self.reason = reason
      self.suspicion = suspicion
    }

    /// The 64 bits that store the rest of an exception beside its row and kind: the epoch of a fenced one, else the suspicion or
    /// 0.
    public var detailBits: UInt64 {
      switch reason {
      case .duplicate: UInt64(suspicion?.rawValue ?? 0)
      case .fenced(let epoch): epoch
      }
    }

    /// - Parameters:
    ///   - row: The row in the batch.
    ///   - isFenced: Whether the row was fenced; else it is a duplicate.
    ///   - detailBits: The value of `detailBits`; an unknown suspicion counts as none.
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

/// The last durable sequence of a source.
public struct ProducerPosition: Sendable, Hashable {
  public var epoch: UInt64
  public var sequence: UInt64
  public init(epoch: UInt64, sequence: UInt64) {
    self.epoch = epoch
    self.sequence = sequence
  }
}
