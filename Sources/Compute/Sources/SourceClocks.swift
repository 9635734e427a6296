import Events
import Views

/// All that is known of each source of a partition by the events up to a reading position: its event time, when it appended last.
///
/// Shared by all live folds of the partition at that position, for it does not depend on their views. It is a function of the
/// log's events from `firstOffset` to `nextOffset`, of `aheadMax` and `bounds`: not of the batches that bring them, nor of any
/// clock.
///
/// Belongs to one worker. Sources that memory lets go of are in the worker's file: before a batch is counted, those of its
/// sources that are `missing` are restored from there.
package final class SourceClocks {
  let partition: PartitionID
  /// The first event that counts.
  let firstOffset: Offset
  /// The next event to be counted.
  private(set) var nextOffset: Offset
  /// The latest append time of counted batches. Nanoseconds; nil before the first.
  private(set) var lastAppendTime: Int64?
  /// How far beyond its batch's append time an event's time counts, in nanoseconds.
  let aheadMax: Int64
  /// Events outside of these bounds move nothing.
  let bounds: EventTimeBounds
  /// The largest time of each event's own source up to and with that event, by event of the batch counted last. Nanoseconds. Not
  /// specified for events that had been counted before, and for those out of bounds.
  var sourceTimes: [Int64] {
    if let counted {
      self.counted = nil
      batchSources.fill(&foundTimes, counted.times, limit: counted.limit)
    }
    return foundTimes
  }
  private var foundTimes: [Int64] = []
  /// The times of the batch counted last, and their limit, until the sources' times are found.
  private var counted: (times: [Int64], limit: Int64)?
  /// Whether the file may have sources that are not in memory.
  private(set) var mayBeInFile = false
  /// Sources that have changed since the last checkpoint.
  private(set) var unsavedCount = 0
  private(set) var table = SourceTable()
  private var slowest = SlowestSource()
  private var batchSources = BatchSources()

  /// - Parameters:
  ///   - firstOffset: The first event that counts.
  ///   - aheadMax: `compute.clock_ahead_max`, in nanoseconds.
  ///   - bounds: Events outside move nothing.
  package init(partition: PartitionID, firstOffset: Offset, aheadMax: Int64, bounds: EventTimeBounds = .all) {
    self.partition = partition
    self.firstOffset = firstOffset
    self.aheadMax = aheadMax
    self.bounds = bounds
    nextOffset = firstOffset
  }

  /// Sources in memory.
  package var count: Int { table.count }

  /// Bytes of memory for them, without those of the batch at hand.
  package var byteCount: Int { count == 0 ? 0 : table.byteCount + slowest.byteCount }

  /// The latest time that events of a batch count as. Nanoseconds.
  func limit(of batch: ColumnBatch) -> Int64 {
    batch.header.appendTime.nanoseconds(plus: aheadMax)
  }

  // MARK: counting

  /// Counts the batch's events from `nextOffset` on.
  /// - Parameters:
  ///   - batch: A batch that holds the event at `nextOffset`, or only earlier ones, which are skipped.
  ///   - times: `batch.times()`.
  package func advance(_ batch: ColumnBatch, times: [Int64]) {
    precondition(times.count == batch.count, "each event has a time")
    guard let first = firstUncounted(of: batch) else { return }
    let limit = limit(of: batch), appendTime = batch.header.appendTime.nanoseconds
    batchSources.load(batch, times: times, from: first, within: bounds, limit: limit)
    unsavedCount += batch.withSharedStrings { strings in
      batchSources.find(strings, in: table)
      return batchSources.takeIn(
        strings, batch.sequences(), appendTime: appendTime, to: &table, &slowest)
    }
    counted = (times, limit)
    if batch.header.lastEventTime.nanoseconds > limit { batchSources.noteBeyond(limit, times, in: &table) }
    nextOffset = batch.endOffset
    lastAppendTime = max(lastAppendTime ?? .min, appendTime)
  }

  /// The first event of the batch that is not counted; nil when all are.
  private func firstUncounted(of batch: ColumnBatch) -> Int? {
    precondition(batch.partition == partition && batch.baseOffset <= nextOffset, "a batch was left out")
    let first = batch.baseOffset.distance(to: nextOffset)
    return first < batch.count ? first : nil
  }

  // MARK: what is in the file

  /// The sources of the batch's uncounted events that are not in memory, and may be in the file.
  func missing(in batch: ColumnBatch) -> [[UInt8]] {
    guard mayBeInFile, let first = firstUncounted(of: batch) else { return [] }
    counted = nil
    batchSources.load(batch, times: batch.times(), from: first, within: bounds, limit: limit(of: batch))
    return batch.withSharedStrings { strings in
      batchSources.find(strings, in: table)
      return batchSources.codes.indices.lazy.filter { self.batchSources.numbers[$0] < 0 }
        .map { Array(strings[Int(self.batchSources.codes[$0])]) }
    }
  }

  /// Takes up a source as the file has it. One that is in memory stays as it is there.
  func restore(_ source: UnsafeRawBufferPointer, _ entry: SourceEntry) {
    guard table.find(source) == nil else { return }
    let number = table.insert(source, entry, isChanged: false)
    slowest.note(number, time: entry.time)
  }

  /// Goes on from a checkpoint. Its sources are restored by further calls.
  func restore(nextOffset: Offset, lastAppendTime: Int64?) {
    precondition(count == 0 && nextOffset >= firstOffset, "a checkpoint is taken up at the beginning")
    self.nextOffset = nextOffset
    self.lastAppendTime = lastAppendTime
  }

  /// Goes on at an offset: the events before it lie outside of the bounds, or are gone.
  func skip(to next: Offset) {
    precondition(next >= nextOffset, "events are counted in order")
    nextOffset = next
  }

  /// Sources stay in the file that were not restored.
  /// - Parameter sources: The smallest of their times, and the latest of their append times.
  func leaveInFile(_ sources: SlowestSource.LetGo) {
    mayBeInFile = true
    slowest.leave(sources)
  }

  /// Lets go of the sources that appended longest ago.
  /// - Precondition: All are stored.
  func shrink(toBytes bytes: Int) {
    precondition(unsavedCount == 0, "what memory lets go of is in the file")
    guard count > 0, bytes < byteCount else { return }
    let keptMax = min(count - 1, Int(Double(count) * Double(bytes) / Double(byteCount)))
    var appendTimes = table.blocks.flatMap { $0.records.map(\.lastAppendTime) }
    appendTimes.sort(by: >)
    let limit = appendTimes[keptMax]
    let whole = table
    var restMax = keptMax - appendTimes.prefix(keptMax).count { $0 > limit }
    table = SourceTable()
    slowest = SlowestSource(threshold: slowest.threshold, letGo: slowest.ofLetGo)
    mayBeInFile = true
    for number in 0..<whole.count {
      let entry = whole.entry(number)
      var isKept = entry.lastAppendTime > limit
      if entry.lastAppendTime == limit, restMax > 0 {
        isKept = true
        restMax -= 1
      }
      guard isKept else {
        slowest.leave(SlowestSource.LetGo(time: entry.time, lastAppendTime: entry.lastAppendTime))
        continue
      }
      whole.withName(number) { name in
        let number = table.insert(name, entry, isChanged: false)
        slowest.note(number, time: entry.time)
      }
    }
  }

  /// Calls `body` with the sources that have changed since the last checkpoint, in the order of their names' bytes.
  func forEachChanged(_ body: (UnsafeRawBufferPointer, SourceEntry) throws -> Void) rethrows {
    let table = table
    var numbers: [Int32] = []
    numbers.reserveCapacity(unsavedCount)
    table.forEachChanged { numbers.append(Int32(truncatingIfNeeded: $0)) }
    numbers.sort { a, b in
      table.withName(Int(a)) { first in table.withName(Int(b)) { PartialRows.keyOrder(first, $0) < 0 } }
    }
    for number in numbers { try table.withName(Int(number)) { try body($0, table.entry(Int(number))) } }
  }

  /// All sources are on disk.
  func checkpointed() {
    table.checkpointed()
    unsavedCount = 0
  }

  // MARK: questions

  /// The largest event time of a source, with clocks that are ahead held back. Nanoseconds; nil when it is not in memory.
  func time(of source: UnsafeRawBufferPointer) -> Int64? { table.find(source).map { table.time($0) } }

  /// All that is known of a source; nil when it is not in memory.
  func entry(of source: UnsafeRawBufferPointer) -> SourceEntry? { table.find(source).map { table.entry($0) } }

  /// The smallest time of the sources that appended at `threshold` or later. Nanoseconds; nil when there are none.
  ///
  /// Sources that memory let go of count with the smallest of their times, for as long as any of them could be active: the answer
  /// may be earlier than it need be then, and is never later.
  /// - Parameter threshold: Nanoseconds; a lower one than asked for before counts as that one.
  /// - Complexity: Linear in the 256th part of the sources, and in those that have moved on since they were the answer.
  package func slowestActive(since threshold: Int64) -> Int64? { slowest.time(in: table, since: threshold) }

  /// The sources' times as they are now. The memory that both share is copied as it changes.
  func snapshot() -> SourceTimes { SourceTimes(table, mayBeInFile: mayBeInFile) }
}
