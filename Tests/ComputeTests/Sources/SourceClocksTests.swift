import Events
import TestSupport
import Testing
import Views

@testable import Compute

@Suite("The clocks of a partition's sources")
struct SourceClocksTests {
  static let second: Int64 = 1_000_000_000
  static let start: Int64 = 1_700_000_000 * second

  /// A fleet whose sources differ in their clocks, in whether they send sequences, and in when they are there.
  private struct Fleet {
    var random: SeededGenerator
    let sources: Int
    let hasSequences: Int
    var sequences: [Int: UInt64] = [:]

    init(seed: UInt64) {
      random = SeededGenerator(seed: seed)
      sources = [1, 3, 20, 600].randomElement(using: &random)!
      hasSequences = Int.random(in: 0...2, using: &random)
    }

    mutating func events(around now: Int64) -> [Event] {
      let part = Int.random(in: 1...sources, using: &random)
      let first = Int.random(in: 0..<sources, using: &random)
      return (0..<Int.random(in: 1...50, using: &random)).map { _ in
        let source = (first + Int.random(in: 0..<part, using: &random)) % sources
        // Each has a clock of its own; some jump, forth and back.
        var time = now + Int64(source % 7 - 3) * 40 * second + Int64.random(in: -20 * second...20 * second, using: &random)
        if source % 5 == 4 { time += Int64.random(in: -3...3, using: &random) * 1_000_000 * second }
        var event = Event(source: "device/\(source)", type: "t", time: Timestamp(nanoseconds: time))
        if hasSequences == 2 || hasSequences == 1 && source % 3 > 0 && Bool.random(using: &random) {
          let last = sequences[source] ?? (UInt64(source % 2) << 63)
          sequences[source] = last + 1
          event.sequence = last + 1
          if source % 4 == 0 { event.epoch = last >> 3 }
        }
        return event
      }
    }
  }

  @Test("random fleets against a plain dictionary: times, counts, sequences, the slowest, with sources let go of and brought back")
  func model() {
    for seed in UInt64(1)...200 { run(seed: seed) }
  }

  private func run(seed: UInt64) {
    var fleet = Fleet(seed: seed)
    let isBounded = seed % 4 == 0, shrinks = seed % 3 > 0
    let bounds =
      isBounded ? EventTimeBounds(from: Self.start - 60 * Self.second, to: Self.start + 500 * Self.second) : .all
    var model = SourceModel(aheadMax: 30 * Self.second, bounds: bounds)
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: model.aheadMax, bounds: bounds)
    var file: [String: SourceEntry] = [:]
    var now = Self.start
    for step in 0..<14 {
      now += Int64.random(in: -1...60, using: &fleet.random) * Self.second
      let events = fleet.events(around: now)
      // Now and then a batch begins with events that are counted already.
      let overlap = step % 4 == 3 ? min(model.next, Int64.random(in: 0...3, using: &fleet.random)) : 0
      let base = model.next - overlap
      let batch = ColumnBatch.placed(events, at: base, appendTime: now)
      for name in clocks.missing(in: batch) {
        if let entry = file[String(decoding: name, as: UTF8.self)] { name.withUnsafeBytes { clocks.restore($0, entry) } }
      }
      clocks.advance(batch)
      for (event, time) in model.advance(events, base: base, appendTime: now).enumerated() where time != nil {
        #expect(clocks.sourceTimes[event] == time, "seed \(seed), step \(step), event \(event)")
      }
      #expect(clocks.nextOffset.rawValue == model.next && clocks.unsavedCount == clocks.changed.count)
      for (name, entry) in model.entries {
        let found = clocks.entry(of: name)
        #expect(found == entry || (found == nil && clocks.mayBeInFile && file[name] == entry), "seed \(seed), step \(step), \(name)")
      }
      if shrinks, step % 3 == 2 { letGo(clocks, &model, &file, &fleet.random) }
      let asked = now - Int64.random(in: 0...200, using: &fleet.random) * Self.second
      let slowest = model.slowest(since: asked) { clocks.time(of: $0) != nil }
      #expect(clocks.slowestActive(since: asked) == slowest, "seed \(seed), step \(step)")
    }
    #expect(clocks.time(of: "device/none") == nil)
  }

  private func letGo(
    _ clocks: SourceClocks, _ model: inout SourceModel, _ file: inout [String: SourceEntry], _ random: inout SeededGenerator
  ) {
    file.merge(clocks.changed) { $1 }
    clocks.checkpointed()
    #expect(clocks.unsavedCount == 0 && clocks.changed.isEmpty)
    let before = Set(model.entries.keys.filter { clocks.time(of: $0) != nil })
    clocks.shrink(toBytes: clocks.byteCount * Int.random(in: 0...3, using: &random) / 4)
    #expect(clocks.mayBeInFile)
    let gone = before.filter { clocks.time(of: $0) == nil }
    #expect(clocks.count == before.count - gone.count)
    let lastGone = gone.compactMap { model.entries[$0]?.lastAppendTime }.max() ?? .min
    let kept = before.subtracting(gone)
    #expect(kept.allSatisfy { model.entries[$0]!.lastAppendTime >= lastGone }, "those go that appended longest ago")
    model.letGo(of: gone)
  }

  @Test("a clock that is years ahead moves its source's time to the append time and the bound, and is seen as it was sent")
  func ahead() {
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 60 * Self.second)
    let far = Self.start + 5 * 365 * 86_400 * Self.second
    let events = [far, Self.start].map { Event(source: "a", type: "t", time: Timestamp(nanoseconds: $0)) }
    clocks.advance(.placed(events, at: 0, appendTime: Self.start))
    #expect(clocks.sourceTimes == [Self.start + 60 * Self.second, Self.start + 60 * Self.second])
    #expect(clocks.entry(of: "a")?.largest == far)
    #expect(clocks.entry(of: "a")?.time == Self.start + 60 * Self.second)
    // Hours later the same clock says the same, and counts as an hour's events do.
    clocks.advance(.placed([events[1]], at: 2, appendTime: Self.start + 3600 * Self.second))
    #expect(clocks.entry(of: "a")?.time == Self.start + 60 * Self.second)
    #expect(clocks.limit(of: .placed(events, at: 0, appendTime: .max - 1)) == .max)
  }

  @Test("a snapshot keeps its times while the clocks go on")
  func snapshot() {
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    func batch(_ names: Range<Int>, at base: Int64, _ time: Int64) -> ColumnBatch {
      let events = names.map { Event(source: "s\($0)", type: "t", time: Timestamp(nanoseconds: time)) }
      return .placed(events, at: base, appendTime: Self.start)
    }
    clocks.advance(batch(0..<300, at: 0, 100))
    let before = clocks.snapshot()
    clocks.advance(batch(100..<700, at: 300, 200))
    let after = clocks.snapshot()
    #expect(withName("s150") { before.time(of: $0) } == 100 && withName("s150") { after.time(of: $0) } == 200)
    #expect(withName("s650") { before.time(of: $0) } == nil && withName("s650") { after.time(of: $0) } == 200)
    #expect(!before.mayBeInFile)
    clocks.checkpointed()
    clocks.shrink(toBytes: 0)
    #expect(clocks.count == 0 && clocks.snapshot().mayBeInFile)
    #expect(withName("s299") { after.time(of: $0) } == 200)
  }

  @Test("a source that was idle holds back again once it appends; a question about an earlier time does not wake it")
  func idleAndBack() {
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    func append(_ source: String, _ time: Int64, at appendTime: Int64) {
      let event = Event(source: source, type: "t", time: Timestamp(nanoseconds: time))
      clocks.advance(.placed([event], at: clocks.nextOffset.rawValue, appendTime: appendTime))
    }
    #expect(clocks.slowestActive(since: .min) == nil)
    append("slow", 5, at: 100)
    append("fast", 90, at: 200)
    #expect(clocks.slowestActive(since: 50) == 5)
    #expect(clocks.slowestActive(since: 150) == 90)
    #expect(clocks.slowestActive(since: 50) == 90)
    append("slow", 3, at: 210)
    #expect(clocks.slowestActive(since: 150) == 5, "its largest time holds, not its last")
    #expect(clocks.slowestActive(since: 211) == nil)
  }

  @Test("a source takes at most 64 bytes of memory beside its name, a million of them together", arguments: [0, 7] as [UInt64])
  func memory(epoch: UInt64) {
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 0)
    let count = 1_000_000
    var name = Array("device/0000000".utf8)
    var nameBytes = 0
    func setNumber(_ number: Int) {
      var rest = number
      for place in (7..<14).reversed() {
        name[place] = UInt8(48 + rest % 10)
        rest /= 10
      }
    }
    for number in 0..<count {
      setNumber(number)
      let entry = SourceEntry(
        time: Int64(number), largest: Int64(number), lastAppendTime: 1, events: 1, epoch: epoch, sequence: UInt64(number))
      name.withUnsafeBytes { clocks.restore($0, entry) }
      nameBytes += name.count
    }
    #expect(clocks.count == count)
    let bytes = Double(clocks.byteCount - nameBytes) / Double(count)
    #expect(bytes <= 64, "\(bytes) bytes a source")
    let isFound = stride(from: 0, to: count, by: 997).allSatisfy { number in
      setNumber(number)
      return name.withUnsafeBytes { clocks.entry(of: $0) }?.sequence == UInt64(number)
    }
    #expect(isFound)
    #expect(clocks.slowestActive(since: 0) == 0)
  }
}
