import Events
import Testing
import Views

@testable import Compute

/// The work of `SourceClocks`, event by event over a dictionary.
struct SourceModel {
  var aheadMax: Int64
  var bounds = EventTimeBounds.all
  var next: Int64 = 0
  var entries: [String: SourceEntry] = [:]
  var threshold = Int64.min
  /// The sources that memory let go of, as far as they were active then.
  var letGo: SlowestSource.LetGo?

  /// - Returns: The time of each event's own source; nil where that is not specified.
  mutating func advance(_ events: [Event], base: Int64, appendTime: Int64) -> [Int64?] {
    var times: [Int64?] = []
    for (index, event) in events.enumerated() {
      guard base + Int64(index) >= next, bounds.contains(event.time.nanoseconds) else {
        times.append(nil)
        continue
      }
      let sent = event.time.nanoseconds, time = min(sent, appendTime + aheadMax)
      var entry =
        entries[event.source] ?? SourceEntry(time: time, largest: sent, lastAppendTime: appendTime, events: 0)
      entry.time = max(entry.time, time)
      entry.largest = max(entry.largest, sent)
      entry.lastAppendTime = max(entry.lastAppendTime, appendTime)
      entry.events += 1
      if let sequence = event.sequence {
        entry.sequence = sequence
        entry.epoch = event.epoch ?? 0
      }
      entries[event.source] = entry
      times.append(entry.time)
    }
    next = max(next, base + Int64(events.count))
    return times
  }

  mutating func letGo(of names: some Sequence<String>) {
    for name in names {
      guard let entry = entries[name], entry.lastAppendTime >= threshold else { continue }
      letGo = SlowestSource.LetGo(
        time: min(letGo?.time ?? .max, entry.time), lastAppendTime: max(letGo?.lastAppendTime ?? .min, entry.lastAppendTime))
    }
  }

  /// - Parameter isInMemory: Whether memory has a source.
  mutating func slowest(since asked: Int64, _ isInMemory: (String) -> Bool) -> Int64? {
    threshold = max(threshold, asked)
    if let one = letGo, one.lastAppendTime < threshold { letGo = nil }
    var slowest = letGo?.time
    for (name, entry) in entries where entry.lastAppendTime >= threshold && isInMemory(name) {
      slowest = min(slowest ?? .max, entry.time)
    }
    return slowest
  }
}

extension ColumnBatch {
  static func placed(_ events: [Event], at base: Int64, appendTime: Int64, partition: PartitionID = PartitionID(0)) -> ColumnBatch {
    var batch = ColumnBatch(events: events, partition: partition)
    batch.place(partition: partition, baseOffset: Offset(base), appendTime: Timestamp(nanoseconds: appendTime))
    return batch
  }
}

func withName<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
  try Array(name.utf8).withUnsafeBytes { try body($0) }
}

extension SourceClocks {
  func time(of name: String) -> Int64? { withName(name) { time(of: $0) } }
  func entry(of name: String) -> SourceEntry? { withName(name) { entry(of: $0) } }

  func advance(_ batch: ColumnBatch) { advance(batch, times: batch.times()) }

  /// The sources that have changed since the last checkpoint.
  var changed: [String: SourceEntry] {
    var changed: [String: SourceEntry] = [:]
    forEachChanged { name, entry in changed[String(decoding: name, as: UTF8.self)] = entry }
    return changed
  }
}
