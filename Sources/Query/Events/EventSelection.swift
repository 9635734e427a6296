import Events

/// Chooses the rows of a batch that a query wants.
struct EventSelection: Sendable {
  private let source: [UInt8]?
  private let type: [UInt8]?
  private let from: Int64
  /// Exclusive; nil where there is no bound.
  private let to: Int64?
  private let isTimeBound: Bool

  init(_ query: EventsQuery) {
    source = query.source.map { Array($0.utf8) }
    type = query.type.map { Array($0.utf8) }
    from = query.from ?? .min
    to = query.to
    isTimeBound = query.from != nil || query.to != nil
  }

  /// Whether the header's times alone show that no row is wanted.
  func skips(_ header: BatchHeader) -> Bool {
    isTimeBound && (header.lastEventTime.nanoseconds < from || to.map { header.firstEventTime.nanoseconds >= $0 } ?? false)
  }

  /// - Returns: Ascending row numbers, at most `limit`.
  func rows(of batch: ColumnBatch, in range: Range<Int>, limit: Int) -> [Int] {
    let times = isTimeBound ? batch.times() : []
    var sources = StringMatches(of: source, in: batch)
    var types = StringMatches(of: type, in: batch)
    let sourceCodes = source == nil ? [] : batch.sourceCodes()
    var typeCodes = ValueVector()
    if type != nil { batch.load(.attribute("type"), into: &typeCodes) }
    var rows: [Int] = []
    for row in range {
      if isTimeBound, times[row] < from { continue }
      if let to, times[row] >= to { continue }
      if source != nil, !sources.matches(Int(sourceCodes[row]), in: batch) { continue }
      if type != nil, !types.matches(Int(typeCodes.bits[row]), in: batch) { continue }
      rows.append(row)
      if rows.count == limit { break }
    }
    return rows
  }
}

/// Compares a batch's strings with one text, each once.
private struct StringMatches {
  private let text: [UInt8]
  private var notes: [Int8]

  init(of text: [UInt8]?, in batch: ColumnBatch) {
    self.text = text ?? []
    notes = text == nil ? [] : Array(repeating: -1, count: batch.stringCount)
  }

  mutating func matches(_ code: Int, in batch: ColumnBatch) -> Bool {
    if notes[code] < 0 {
      notes[code] = batch.withString(code) { bytes in bytes.count == text.count && bytes.elementsEqual(text) } ? 1 : 0
    }
    return notes[code] == 1
  }
}
