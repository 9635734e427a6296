import Events
import TestSupport
import Testing
import Views

/// Sources of some partitions in every order and filter, beside a plain sort of all.
@Suite("Sources in order") struct SourceOrderTests {
  /// Few values, so that many are equal; names that a `String` takes for equal, and one within another.
  static func statuses(_ count: Int, partitions: Int, using random: inout SeededGenerator) -> [SourceStatus] {
    var names: Set<UTF8Text> = ["caf\u{E9}", "cafe\u{301}", "a", "a/1", "a/10", "z\u{10FFFF}"]
    while names.count < count { names.insert(UTF8Text("\(["a", "b/", "ü"].randomElement(using: &random) ?? "")\(names.count)")) }
    return names.sorted().prefix(count).map { name in
      let time = Int64.random(in: -3...3, using: &random)
      return SourceStatus(
        source: name, partition: PartitionID(Int.random(in: 0..<partitions, using: &random)),
        last: Bool.random(using: &random) ? ProducerPosition(epoch: 1, sequence: .max) : nil,
        largestEventTime: Timestamp(nanoseconds: time + Int64.random(in: 0...2, using: &random)),
        eventTime: Timestamp(nanoseconds: time), lastAppendTime: Timestamp(nanoseconds: Int64.random(in: 0...5, using: &random)),
        events: Int.random(in: 1...4, using: &random))
    }
  }

  static func request(limit: Int, using random: inout SeededGenerator) -> SourceReadRequest {
    SourceReadRequest(
      prefix: ["", "", "a", "caf"].randomElement(using: &random) ?? "",
      lastAppendedBy: Bool.random(using: &random) ? nil : Timestamp(nanoseconds: Int64.random(in: 0...5, using: &random)),
      isAheadOnly: Int.random(in: 0..<4, using: &random) == 0,
      order: SourceOrder(
        SourceOrder.Column.allCases.randomElement(using: &random) ?? .source, isDescending: Bool.random(using: &random)),
      limit: limit)
  }

  /// The model.
  static func plain(_ all: [SourceStatus], _ request: SourceReadRequest) -> [SourceStatus] {
    func value(_ one: SourceStatus) -> Int64 {
      switch request.order.column {
      case .source: 0
      case .largestEventTime: one.largestEventTime.nanoseconds
      case .lastAppendTime: one.lastAppendTime.nanoseconds
      case .events: Int64(one.events)
      }
    }
    let byName = all.sorted { Array($0.source.string.utf8).lexicographicallyPrecedes(Array($1.source.string.utf8)) }
    let wanted = byName.filter { one in
      Array(one.source.string.utf8).starts(with: Array(request.prefix.string.utf8))
        && (!request.isAheadOnly || one.largestEventTime > one.eventTime)
        && request.lastAppendedBy.map { one.lastAppendTime <= $0 } ?? true
    }
    guard request.order.column != .source else { return request.order.isDescending ? wanted.reversed() : wanted }
    // Stable: equal values stay in the order of names.
    return wanted.enumerated().sorted { a, b in
      let (x, y) = (value(a.element), value(b.element))
      return x != y ? (x < y) != request.order.isDescending : a.offset < b.offset
    }.map(\.element)
  }

  /// A store's answer.
  static func answer(_ all: [SourceStatus], _ partitions: Set<Int>, _ request: SourceReadRequest) -> SourceReadResult {
    var first = FirstSources(request)
    for one in all where partitions.contains(one.partition.index) {
      let value = request.order.place(of: one).value
      let mayTake = one.source.string.utf8.withContiguousStorageIfAvailable {
        first.mayTake(value: value, name: UnsafeRawBufferPointer($0))
      }
      if mayTake ?? true { first.add(one) }
    }
    let (sources, next) = first.finish()
    return SourceReadResult(
      asOf: OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { (PartitionID($0), Offset(1)) })), sources: sources,
      next: next)
  }

  @Test("pages of any order, filter and length, put together from several stores, are the plain list", arguments: 0..<200)
  func pages(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let partitions = Int.random(in: 1...4, using: &random)
    let all = SourceOrderTests.statuses(Int.random(in: 0...60, using: &random), partitions: partitions, using: &random)
    var request = SourceOrderTests.request(limit: Int.random(in: 1...7, using: &random), using: &random)
    let stores = Dictionary(grouping: 0..<partitions) { $0 % 3 }.values.map(Set.init)
    var listed: [SourceStatus] = []
    var pageCount = 0
    repeat {
      let page = SourceReadResult(
        merging: stores.map { SourceOrderTests.answer(all.shuffled(using: &random), $0, request) }, of: request)
      #expect(page.sources.count <= request.limit, "seed \(seed)")
      #expect(page.next == nil || page.sources.count == request.limit, "a page that others follow is full: seed \(seed)")
      listed += page.sources
      request.after = page.next
      pageCount += 1
    } while request.after != nil && pageCount <= all.count
    #expect(listed == SourceOrderTests.plain(all, request), "seed \(seed)")
  }

  @Test("where a store's last places fall away, the page ends there, and the next one goes on without a gap")
  func cut() {
    func source(_ name: String, _ partition: Int, events: Int = 1) -> SourceStatus {
      SourceStatus(
        source: UTF8Text(name), partition: PartitionID(partition), last: nil, largestEventTime: Timestamp(nanoseconds: 0),
        eventTime: Timestamp(nanoseconds: 0), lastAppendTime: Timestamp(nanoseconds: 0), events: events)
    }
    let request = SourceReadRequest(order: SourceOrder(.events), limit: 2)
    // The first store's a and b are another's now, and have more events there.
    let first = SourceReadResult(
      asOf: OffsetVector([PartitionID(1): Offset(9)]), sources: [],
      next: SourcePlace(value: 1, source: "b", partition: PartitionID(0)))
    let second = SourceReadResult(asOf: OffsetVector([PartitionID(0): Offset(9)]), sources: [source("a", 0, events: 7), source("b", 0, events: 7)])
    let page = SourceReadResult(merging: [first, second], of: request)
    #expect(page.sources == [])
    #expect(page.next == SourcePlace(value: 1, source: "b", partition: PartitionID(0)))
    #expect(page.asOf == OffsetVector([PartitionID(0): Offset(9), PartitionID(1): Offset(9)]))
  }

  @Test("long names make a page shorter than its limit, and hold no more than two pages of them")
  func longNames() {
    let name = String(repeating: "n", count: 1 << 20)
    let all = (0..<12).map { number in
      SourceStatus(
        source: UTF8Text("\(name)\(number + 10)"), partition: PartitionID(0), last: nil, largestEventTime: Timestamp(nanoseconds: 0),
        eventTime: Timestamp(nanoseconds: 0), lastAppendTime: Timestamp(nanoseconds: 0), events: 1)
    }
    var request = SourceReadRequest(limit: 1000)
    var listed: [SourceStatus] = []
    repeat {
      let page = SourceOrderTests.answer(all.reversed(), [0], request)
      #expect((1...4).contains(page.sources.count))
      listed += page.sources
      request.after = page.next
    } while request.after != nil && listed.count < all.count
    #expect(listed == all && request.after == nil)
  }
}
