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

/// The last durable sequence of a source.
public struct ProducerPosition: Sendable, Hashable {
  public var epoch: UInt64
  public var sequence: UInt64
  public init(epoch: UInt64, sequence: UInt64) {
    self.epoch = epoch
    self.sequence = sequence
  }
}
