import Events
import SQLite
import Views

/// The sources of a partition at one moment: a copy of those in memory, and which of the file belong to them.
struct SourceMoment: Sendable {
  /// Sources of the file that are read at a time.
  private static let pageMax = 4096

  let partition: PartitionID
  let nextOffset: Offset
  private let table: SourceTable
  /// The clocks' id in the file, which is pinned; nil where all sources are in memory.
  private let clock: Int64?

  init(_ sources: SourceBox) {
    partition = sources.clocks.partition
    nextOffset = sources.clocks.nextOffset
    table = sources.clocks.table
    clock = sources.clocks.mayBeInFile ? sources.id : nil
  }

  /// Adds the sources that are wanted. It is a look at all, but for one source alone and pages by name in the file.
  func collect(
    _ request: SourceReadRequest, into first: inout FirstSources, _ db: SQLiteConnection, _ stop: ReadStop
  ) throws {
    if let source = request.source { return try find(source, request.order, into: &first, db) }
    for block in table.blocks {
      try stop.check()
      for index in 0..<block.count {
        block.withName(index) { name in
          let value = request.order.column.value(of: block.entry(index))
          if first.mayTake(value: value, name: name) { first.add(SourceStatus(name, partition, block.entry(index))) }
        }
      }
    }
    if let clock { try collect(request, into: &first, db, clock: clock, stop) }
  }

  private func find(
    _ source: UTF8Text, _ order: SourceOrder, into first: inout FirstSources, _ db: SQLiteConnection
  ) throws {
    var text = source.string
    let entry = try text.withUTF8 { name -> SourceEntry? in
      let name = UnsafeRawBufferPointer(name)
      if let number = table.find(name) { return table.entry(number) }
      return try clock.flatMap { try StoredSources.find(db, clock: $0, name) }
    }
    guard let entry else { return }
    first.add(text.withUTF8 { SourceStatus(UnsafeRawBufferPointer($0), partition, entry) })
  }

  /// Goes through the file's sources by name; those in memory have been seen, and the file may have an older state of them.
  private func collect(
    _ request: SourceReadRequest, into first: inout FirstSources, _ db: SQLiteConnection, clock: Int64, _ stop: ReadStop
  ) throws {
    let isByName = request.order == SourceOrder(.source)
    var range = SourceRange(prefix: Array(request.prefix.string.utf8), limit: SourceMoment.pageMax)
    if isByName { range.after = request.after.map { Array($0.source.string.utf8) } }
    while true {
      try stop.check()
      let page = try SourceRuns.page(db, clock: clock, range)
      for one in page {
        let isWanted = one.name.withUnsafeBytes { name in
          let value = request.order.column.value(of: one.entry)
          guard first.mayTake(value: value, name: name) else { return false }
          if table.find(name) == nil { first.add(SourceStatus(name, partition, one.entry)) }
          return true
        }
        // There is no room for later names.
        if isByName, !isWanted { return }
      }
      guard page.count == range.limit else { return }
      range.after = page.last?.name
    }
  }
}

extension SourceOrder.Column {
  fileprivate func value(of entry: SourceEntry) -> Int64 {
    switch self {
    case .source: 0
    case .largestEventTime: entry.largest
    case .lastAppendTime: entry.lastAppendTime
    case .events: Int64(entry.events)
    }
  }
}

extension SourceStatus {
  fileprivate init(_ name: UnsafeRawBufferPointer, _ partition: PartitionID, _ entry: SourceEntry) {
    self.init(
      source: UTF8Text(String(decoding: name, as: UTF8.self)), partition: partition,
      last: entry.sequence.map { ProducerPosition(epoch: entry.epoch, sequence: $0) },
      largestEventTime: Timestamp(nanoseconds: entry.largest), eventTime: Timestamp(nanoseconds: entry.time),
      lastAppendTime: Timestamp(nanoseconds: entry.lastAppendTime), events: entry.events)
  }
}
