/// The result of appending a batch.
package struct AppendReceipt: Sendable, Hashable {
  /// The most batches of one appender and partition that may be unanswered, where answers can be lost: a log remembers
  /// as many receipts.
  package static let unansweredBatchesMax = 64

  /// The offset of the first appended event; dense from there. Equal to `endOffset` when none was.
  package var baseOffset: Offset
  /// The partition's next offset after this batch.
  package var endOffset: Offset
  /// Rows of the given batch that were not appended, in row order; empty as a rule.
  package var exceptions: [Exception]
  /// The first exceptions that people ask about, with their sources, in row order: fenced ones, and suspect duplicates.
  /// At most `namedMax`; empty in a receipt that the log remembered.
  package var named: [Named] = []

  package static let namedMax = 16

  /// An exception's source, and that source's position.
  package struct Named: Sendable, Hashable {
    package var row: Int
    /// At most `RejectedEvent.sourceBytesMax` bytes of the source.
    package var source: String
    package var sequence: UInt64
    package var last: ProducerPosition

    package init(row: Int, source: String, sequence: UInt64, last: ProducerPosition) {
      self.row = row
      self.source = source
      self.sequence = sequence
      self.last = last
    }
  }

  package struct Exception: Sendable, Hashable {
    /// The reason why a duplicate by sequence may be a new event that nobody has: its device's count has jumped ahead, or begun
    /// anew.
    package enum Suspicion: UInt8, Sendable {
      /// No event with this sequence was appended: the count has jumped over it.
      case skipped = 1
      /// Its time is later than that of every event of its source in the log.
      case newer = 2
    }

    package enum Reason: Sendable, Hashable {
      /// Already in the log: (source, epoch, sequence) not above the last durable, or (source, id) within the dedup window.
      case duplicate
      /// Its epoch is below the source's present one.
      case fenced(currentEpoch: UInt64)
    }
    package var row: Int
    package var reason: Reason
    /// Set for a suspect duplicate.
    package var suspicion: Suspicion?
    package init(row: Int, reason: Reason, suspicion: Suspicion? = nil) {
      self.row = row
      self.reason = reason
      self.suspicion = suspicion
    }

    /// The 64 bits that store the rest of an exception beside its row and kind: the epoch of a fenced one, else the suspicion or
    /// 0.
    package var detailBits: UInt64 {
      switch reason {
      case .duplicate: UInt64(suspicion?.rawValue ?? 0)
      case .fenced(let epoch): epoch
      }
    }

    /// - Parameters:
    ///   - row: The row in the batch.
    ///   - isFenced: Whether the row was fenced; else it is a duplicate.
    ///   - detailBits: The value of `detailBits`; an unknown suspicion counts as none.
    package init(row: Int, isFenced: Bool, detailBits: UInt64) {
      self.init(
        row: row, reason: isFenced ? .fenced(currentEpoch: detailBits) : .duplicate,
        suspicion: isFenced ? nil : UInt8(exactly: detailBits).flatMap(Suspicion.init))
    }

    package var isFenced: Bool { reason != .duplicate }
  }

  package init(baseOffset: Offset, endOffset: Offset, exceptions: [Exception] = []) {
    self.baseOffset = baseOffset
    self.endOffset = endOffset
    self.exceptions = exceptions
  }
}

/// The last durable sequence of a source.
package struct ProducerPosition: Sendable, Hashable {
  package var epoch: UInt64
  package var sequence: UInt64
  package init(epoch: UInt64, sequence: UInt64) {
    self.epoch = epoch
    self.sequence = sequence
  }
}
