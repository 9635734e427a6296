import Events

/// Compares a sealed segment's index with the segment's batches, which are fed in order.
struct IndexCheck {
  private let index: SparseIndex?
  private var problems: [String] = []
  /// The number of the index's entry whose stretch the batches at hand lie in.
  private var entry = -1
  private var stretchTime = Timestamp(nanoseconds: .min)
  private var lastEventTime = Timestamp(nanoseconds: .min)
  private var lastAppendTime = Timestamp(nanoseconds: .min)

  /// A missing index is no fault: it is rebuilt when it is needed.
  init(_ files: PartitionFiles, _ base: Offset) throws(LogError) {
    let stored = try placing(files.partition, base) { () throws(IOFailure) in
      try files.fileSystem.contents(of: files.paths.index(base), bytesMax: SparseIndex.fileBytesMax)
    }
    guard let stored else {
      index = nil
      return
    }
    do throws(RecordDamage) {
      index = try SparseIndex(parsing: stored, partition: files.partition)
    } catch {
      index = nil
      problems.append("\(error)")
    }
  }

  mutating func take(_ header: BatchHeader, at position: Int) {
    guard let index else { return }
    let next = entry + 1
    if next < index.entries.count, index.entries[next].position <= position {
      closeStretch()
      if index.entries[next].position != position || index.entries[next].offset != header.baseOffset {
        problems.append(
          "entry \(next) names offset \(index.entries[next].offset) at byte \(index.entries[next].position), no batch's begin")
      }
      entry = next
      stretchTime = Timestamp(nanoseconds: .min)
    }
    stretchTime = max(stretchTime, header.lastEventTime)
    lastEventTime = max(lastEventTime, header.lastEventTime)
    lastAppendTime = max(lastAppendTime, header.appendTime)
  }

  private mutating func closeStretch() {
    guard let index, entry >= 0, index.entries[entry].lastEventTime != stretchTime else { return }
    problems.append(
      "entry \(entry) has largest event time \(index.entries[entry].lastEventTime), the batches have \(stretchTime)")
  }

  /// - Returns: The faults of the index.
  mutating func finish(end: Offset, bytes: Int) -> [String] {
    guard let index else { return problems }
    closeStretch()
    if entry + 1 != index.entries.count { problems.append("\(index.entries.count) entries, of which batches match \(entry + 1)") }
    if index.end != end || index.segmentBytes != bytes || index.lastEventTime != lastEventTime
      || index.lastAppendTime != lastAppendTime
    {
      problems.append("its summary is not the segment's")
    }
    return problems
  }
}
