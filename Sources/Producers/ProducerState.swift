import Events

/// The state that makes appends exactly once: each source's last sequence, and the ids seen lately. A function of the log's
/// batches alone.
package struct ProducerState: Sendable {
  package private(set) var table = ProducerTable()
  package private(set) var identities: IdentityWindow
  package var appenders = AppenderTable()
  /// The entry of each source code of the batch at hand, -1 where not looked up; kept for its storage.
  private var entryOfCode: [Int32] = []

  package init(dedupWindow: Duration, identitiesMax: Int) {
    identities = IdentityWindow(window: dedupWindow, identitiesMax: identitiesMax)
  }

  /// Judges a batch's rows in order and takes the admitted ones as appended at `appendTime`.
  /// - Parameter appendTime: Not before that of any batch admitted earlier.
  /// - Returns: The rows not admitted, ascending; empty as a rule.
  /// - Complexity: One table lookup a distinct source, one compare a row.
  package mutating func admit(_ batch: ColumnBatch, at appendTime: Timestamp) -> [AppendReceipt.Exception] {
    let columns = batch.producers()
    var exceptions = judgeSequences(batch, columns)
    let everyRow = columns.hasSequence.isEmpty
    identities.expire(at: appendTime)
    guard !columns.identities.isEmpty else { return exceptions }
    precondition(columns.identities.count == batch.count)
    let sequenceExceptions = exceptions.count
    for row in 0..<batch.count where !everyRow && !columns.hasSequence[row] {
      guard let identity = columns.identities[row] else { continue }
      if !identities.insert(IdentityDigest(high: identity.high, low: identity.low), at: appendTime) {
        exceptions.append(.init(row: row, reason: .duplicate))
      }
    }
    if sequenceExceptions > 0, exceptions.count > sequenceExceptions { exceptions.sort { $0.row < $1.row } }
    return exceptions
  }

  /// Takes in a batch that lies in the log: its rows were admitted once. However they are judged now, what is remembered of them
  /// is the same.
  /// - Parameters:
  ///   - batch: The next one of the log.
  ///   - appendTime: The largest append time of the log up to here; nil for the batch's own.
  package mutating func replay(_ batch: ColumnBatch, at appendTime: Timestamp? = nil) {
    _ = admit(batch, at: appendTime ?? batch.header.appendTime)
    guard let tag = batch.tag else { return }
    let receipt = AppendReceipt(baseOffset: batch.baseOffset, endOffset: batch.endOffset, exceptions: tag.exceptions)
    appenders.note(tag.appender, tag.number, receipt)
  }

  /// Judges the rows that have a sequence, and takes those above their source's last.
  /// - Parameter columns: The columns of `batch`.
  /// - Returns: The rows not admitted, ascending.
  package mutating func judgeSequences(_ batch: ColumnBatch, _ columns: ProducerColumns) -> [AppendReceipt.Exception] {
    guard columns.hasSequence.isEmpty || columns.hasSequence.contains(true) else { return [] }
    var exceptions: [AppendReceipt.Exception] = []
    lookUp(batch, columns)
    table.judge(columns, rows: batch.count, times: batch.times(), entryOfCode: entryOfCode, exceptions: &exceptions)
    return exceptions
  }

  /// The sources of the exceptions that people ask about: fenced ones, and suspect duplicates.
  /// - Parameter exceptions: The result of `admit` for the batch, just before.
  package func named(_ exceptions: [AppendReceipt.Exception], of batch: ColumnBatch) -> [AppendReceipt.Named] {
    let asked = exceptions.filter { $0.isFenced || $0.suspicion != nil }.prefix(AppendReceipt.namedMax)
    guard !asked.isEmpty else { return [] }
    let columns = batch.producers()
    return asked.compactMap { exception in
      batch.withString(Int(columns.sources[exception.row])) { source in
        table.find(source).map { entry in
          AppendReceipt.Named(
            row: exception.row, source: String(decoding: source.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self),
            sequence: columns.sequences[exception.row], last: table.position(of: entry))
        }
      }
    }
  }

  /// Forgets ids that are older than the dedup window.
  package mutating func expire(at now: Timestamp) { identities.expire(at: now) }

  /// The last sequence of a source; nil when it never sent one.
  package func position(of source: String) -> ProducerPosition? {
    var copy = source
    return copy.withUTF8 { table.find(UnsafeRawBufferPointer($0)).map(table.position) }
  }

  package mutating func restore(source: UnsafeRawBufferPointer, _ position: ProducerPosition, latestTime: Int64) {
    table.set(table.entry(for: source), position, latestTime: latestTime)
  }

  /// - Parameter entry: The entry of a restored source; entries come in order.
  package mutating func restore(_ gap: ProducerTable.Gap, of entry: Int) { table.setGap(entry, gap) }

  package mutating func restore(_ identity: IdentityDigest, at appendTime: Timestamp) {
    _ = identities.insert(identity, at: appendTime)
  }

  private mutating func lookUp(_ batch: ColumnBatch, _ columns: ProducerColumns) {
    let codes = batch.stringCount
    if entryOfCode.count < codes { entryOfCode = Array(repeating: -1, count: codes) }
    for code in 0..<codes { entryOfCode[code] = -1 }
    let everyRow = columns.hasSequence.isEmpty
    var previous = UInt32.max
    for row in 0..<columns.sources.count where everyRow || columns.hasSequence[row] {
      let code = columns.sources[row]
      if code == previous { continue }
      previous = code
      if entryOfCode[Int(code)] < 0 {
        entryOfCode[Int(code)] = batch.withString(Int(code)) { Int32(truncatingIfNeeded: table.entry(for: $0)) }
      }
    }
  }
}
