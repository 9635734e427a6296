import Events
import Foundation
import TestSupport
import Views

/// A view as plain as it can be said: lists of events, 128-bit times, every pair looked at. It shares nothing with the program
/// but the words of docs/views.md.
struct PlainView {
  enum Window: Sendable {
    case tumble(Int64)
    case hop(size: Int64, every: Int64)
    case session(gap: Int64)
  }

  var name: String
  var window: Window
  var keys: [String]
  var delay: Int64
  var lateness: Int64
  /// Whose times close windows.
  var watermark = WatermarkScope.source
  var retention: Int64?
  var isFiltered: Bool
  /// Rises when the definition is changed by an aggregate more.
  var extraAggregates = 0

  struct Item {
    var partition: PartitionID
    var offset: Int64
    var time: Int64
    var key: [String]
    var value: Int64
  }

  struct Late: Hashable {
    var partition: PartitionID
    var offset: Int64
    var time: Int64
    var windowStart: Int64
    var reason: LateReason
  }

  struct Row: Hashable, Comparable, CustomStringConvertible {
    var start: Int64
    var end: Int64
    var key: [String]
    var count: Int64
    var sum: Double
    var least: Double

    static func < (a: Row, b: Row) -> Bool {
      if a.start != b.start { return a.start < b.start }
      if a.key != b.key { return a.key.lexicographicallyPrecedes(b.key) }
      return a.end < b.end
    }
    var description: String { "\(start)..<\(end) \(key) n \(count) sum \(sum) min \(least)" }
  }

  /// The results of a partition, or of all.
  struct Outcome {
    var rows: [Row] = []
    var applied = 0
    var amended = 0
    var filtered = 0
    var late: [Late] = []
    /// Events in rows that retention has taken, at most: the program may not have dropped them yet.
    var greatest: [PartitionID: Int64] = [:]
    /// The largest time of each source.
    var ofSource: [String: Int64] = [:]
  }

  private static let last = Int128(Int64.max)
  private static let first = Int128(Int64.min)

  private static func held(_ time: Int128) -> Int64 { Int64(max(first, min(last, time))) }

  private func floor(_ time: Int128, _ every: Int64) -> Int128 {
    let quotient = time / Int128(every)
    return time % Int128(every) < 0 ? quotient - 1 : quotient
  }

  /// The windows that hold a time: those that begin before the range of times are one, the last of them.
  private func windows(of time: Int64) -> [(start: Int128, end: Int128)] {
    let (size, every): (Int64, Int64)
    switch window {
    case .tumble(let length): (size, every) = (length, length)
    case .hop(let length, let step): (size, every) = (length, step)
    case .session: return []
    }
    var result: [(start: Int128, end: Int128)] = []
    var number = floor(Int128(time), every)
    while number * Int128(every) + Int128(size) > Int128(time) {
      let start = number * Int128(every)
      result.append((start, start + Int128(size)))
      if start <= PlainView.first { break }
      number -= 1
    }
    return result
  }

  /// An end at the last of times, or beyond, is never reached.
  private func isClosed(_ end: Int128, _ greatest: Int64) -> Bool {
    end < PlainView.last && end <= Int128(greatest) - Int128(delay) - Int128(lateness)
  }

  /// The times that close windows for one event, and the end of retention.
  private struct Moment {
    var own: Int64
    var partition: Int64
    var expired: Int128?
  }

  /// Whether a window takes an event no more.
  private func isShut(_ end: Int128, _ moment: Moment) -> Bool {
    isClosed(end, moment.own) || moment.expired.map { PlainView.held(end) <= $0 } ?? false
  }

  private func reason(_ end: Int128, _ moment: Moment) -> LateReason {
    moment.expired.map { PlainView.held(end) <= $0 } ?? false ? .expired : .windowClosed
  }

  /// The results of the events, in the order of each partition.
  /// - Parameter limits: For each event, how far it moves an event-time watermark at most; none when empty.
  func outcome(of partitions: [PartitionID: [Event]], limits: [PartitionID: [Int64]] = [:]) -> Outcome {
    var outcome = Outcome()
    var windows: [Place: [Item]] = [:]
    var sessions: [(partition: PartitionID, key: [String], items: [Item])] = []
    for (partition, events) in partitions.sorted(by: { $0.key < $1.key }) {
      var greatest = Int64.min
      for (offset, event) in events.enumerated() {
        let time = event.time.nanoseconds
        let counted = min(time, limits[partition]?[offset] ?? .max)
        greatest = max(greatest, counted)
        outcome.greatest[partition] = greatest
        let own = max(outcome.ofSource[event.source] ?? .min, counted)
        outcome.ofSource[event.source] = own
        let moment = Moment(
          own: watermark == .source ? own : greatest, partition: greatest, expired: expiredEnd(greatest))
        if isFiltered, event.data?["skip"] != .bool(false) {
          outcome.filtered += 1
          continue
        }
        let item = Item(
          partition: partition, offset: Int64(offset), time: time, key: key(of: event),
          value: PlainView.value(of: event))
        if case .session(let gap) = window {
          place(item, gap: gap, moment, in: &sessions, &outcome)
          continue
        }
        let all = self.windows(of: time)
        let open = all.filter { !isShut($0.end, moment) }
        if open.isEmpty {
          outcome.late.append(
            Late(
              partition: partition, offset: item.offset, time: time, windowStart: PlainView.held(all[0].start),
              reason: reason(all[0].end, moment)))
          continue
        }
        outcome.applied += 1
        if watermark == .source, isClosed(all[0].end, greatest) { outcome.amended += 1 }
        for one in open {
          windows[Place(start: PlainView.held(one.start), end: PlainView.held(one.end), key: item.key), default: []].append(item)
        }
      }
    }
    if case .session(let gap) = window {
      outcome.rows = joined(sessions, gap, outcome.greatest)
    } else {
      outcome.rows = windows.filter { place, items in
        // All events of a key with the source are in one partition.
        isKept(end: place.end, items[0].partition, outcome.greatest)
      }.map { place, items in row(place.start, place.end, place.key, items) }.sorted()
    }
    return outcome
  }

  private struct Place: Hashable {
    var start: Int64
    var end: Int64
    var key: [String]
  }

  private func place(
    _ item: Item, gap: Int64, _ moment: Moment, in sessions: inout [(partition: PartitionID, key: [String], items: [Item])],
    _ outcome: inout Outcome
  ) {
    let end = Int128(item.time) + Int128(gap)
    let mine = sessions.indices.filter { index in
      let one = sessions[index]
      guard one.partition == item.partition, one.key == item.key else { return false }
      let (start, oneEnd) = PlainView.span(one.items, gap)
      return !isShut(oneEnd, moment) && PlainView.isBefore(Int128(item.time), oneEnd) && PlainView.isBefore(start, end)
    }
    if mine.isEmpty, isShut(end, moment) {
      outcome.late.append(
        Late(
          partition: item.partition, offset: item.offset, time: item.time, windowStart: item.time,
          reason: reason(end, moment)))
      return
    }
    outcome.applied += 1
    let items = mine.flatMap { sessions[$0].items } + [item]
    if watermark == .source, isClosed(PlainView.span(items, gap).1, moment.partition) { outcome.amended += 1 }
    for index in mine.reversed() { sessions.remove(at: index) }
    sessions.append((item.partition, item.key, items))
  }

  private static func span(_ items: [Item], _ gap: Int64) -> (Int128, Int128) {
    (Int128(items.map(\.time).min()!), Int128(items.map(\.time).max()!) + Int128(gap))
  }

  private static func isBefore(_ time: Int128, _ end: Int128) -> Bool { time < end || end >= last }

  /// Sessions of one key that overlap and are of different partitions are one, with all that these overlap.
  private func joined(
    _ sessions: [(partition: PartitionID, key: [String], items: [Item])], _ gap: Int64, _ greatest: [PartitionID: Int64]
  ) -> [Row] {
    let times = sessions.map { PlainView.span($0.items, gap) }
    var group = Array(sessions.indices)
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for a in sessions.indices {
        for b in sessions.indices where group[a] != group[b] && sessions[a].key == sessions[b].key {
          guard sessions[a].partition != sessions[b].partition else { continue }
          guard PlainView.isBefore(times[a].0, times[b].1), PlainView.isBefore(times[b].0, times[a].1) else { continue }
          let (low, high) = (min(group[a], group[b]), max(group[a], group[b]))
          for index in group.indices where group[index] == high { group[index] = low }
          hasChanged = true
        }
      }
    }
    var spans: [Place: [Item]] = [:]
    for head in Set(group) {
      let members = sessions.indices.filter { group[$0] == head }
      let items = members.flatMap { sessions[$0].items }
      let (start, end) = PlainView.span(items, gap)
      let place = Place(start: PlainView.held(start), end: PlainView.held(end), key: sessions[head].key)
      if hasSource {
        guard isKept(end: place.end, items[0].partition, greatest) else { continue }
      } else if let expired = expiredEnd(greatest.values.min()) {
        guard start >= expired else { continue }
      }
      spans[place, default: []] += items
    }
    // One row for each key and start.
    var rows: [[String]: [Int64: (end: Int64, items: [Item])]] = [:]
    for (place, items) in spans {
      let known = rows[place.key]?[place.start]
      rows[place.key, default: [:]][place.start] = (max(place.end, known?.end ?? .min), items + (known?.items ?? []))
    }
    return rows.flatMap { key, starts in starts.map { row($0.key, $0.value.end, key, $0.value.items) } }.sorted()
  }

  var hasSource: Bool { keys.contains("source") }

  private func expiredEnd(_ greatest: Int64?) -> Int128? {
    guard let retention, let greatest else { return nil }
    return min(Int128(greatest) - Int128(delay) - Int128(max(retention, lateness)), PlainView.last - 1)
  }

  private func isKept(end: Int64, _ partition: PartitionID, _ greatest: [PartitionID: Int64]) -> Bool {
    guard let expired = expiredEnd(hasSource ? greatest[partition] : greatest.values.min()) else { return true }
    return Int128(end) > expired
  }

  private func row(_ start: Int64, _ end: Int64, _ key: [String], _ items: [Item]) -> Row {
    Row(
      start: start, end: end, key: key, count: Int64(items.count), sum: Double(items.reduce(0) { $0 + $1.value }),
      least: Double(items.map(\.value).min()!))
  }

  private func key(of event: Event) -> [String] {
    keys.map { path in
      if path == "source" { return event.source }
      if case .string(let text)? = event.data?["site"] { return text }
      return ""
    }
  }

  private static func value(of event: Event) -> Int64 {
    if case .int(let value)? = event.data?["value"] { value } else { 0 }
  }

  // MARK: as a view file has it

  var yaml: String {
    let text =
      switch window {
      case .tumble(let size): "{ tumble: \(size / 1_000_000)ms }"
      case .hop(let size, let every): "{ hop: {size: \(size / 1_000_000)ms, every: \(every / 1_000_000)ms} }"
      case .session(let gap): "{ session: {gap: \(gap / 1_000_000)ms} }"
      }
    var lines = ["  \(name):"]
    if isFiltered { lines.append("    where: data.skip == false") }
    lines.append("    key: [\(keys.map { $0 == "source" ? $0 : "data.\($0)" }.joined(separator: ", "))]")
    lines.append("    window: \(text)")
    lines.append("    watermark: \(watermark.rawValue)")
    lines.append("    watermark_delay: \(delay / 1_000_000)ms")
    lines.append("    allowed_lateness: \(lateness / 1_000_000)ms")
    if let retention { lines.append("    retention: \(retention / 1_000_000)ms") }
    lines.append("    aggregates:\n      n: count()\n      total: sum(data.value)\n      least: min(data.value)")
    for number in 0..<extraAggregates { lines.append("      more\(number): max(data.value)") }
    return lines.joined(separator: "\n")
  }
}

extension PlainView {
  /// Any view, of lengths of some seconds.
  static func random(_ name: String, _ random: inout SeededGenerator) -> PlainView {
    let second = WindowTests.second
    func seconds(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &random) * second }
    let window: Window
    let length: Int64
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      length = seconds(3...60)
      window = .tumble(length)
    case 1:
      let every = seconds(3...20)
      length = Bool.random(using: &random) ? every * Int64.random(in: 1...5, using: &random) : every + seconds(0...30)
      window = .hop(size: length, every: every)
    default:
      length = seconds(2...20)
      window = .session(gap: length)
    }
    let keys = [["source"], ["site"], [], ["source", "site"], ["site"]].randomElement(using: &random)!
    return PlainView(
      name: name, window: window, keys: keys, delay: Bool.random(using: &random) ? 0 : seconds(0...20),
      lateness: Bool.random(using: &random) ? 0 : seconds(0...60),
      watermark: Int.random(in: 0..<3, using: &random) == 0 ? .partition : .source,
      retention: Int.random(in: 0..<3, using: &random) == 0 ? length + seconds(0...60) : nil,
      isFiltered: Bool.random(using: &random))
  }
}
