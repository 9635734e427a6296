import Events
import Producers
import TestSupport
import Testing

@testable import Log

@Suite("Producer state")
struct ProducerTests {
  /// The window told simply: a list of what was inserted.
  struct NaiveWindow {
    let window: Int64
    let max: Int
    var entries: [(identity: IdentityDigest, time: Int64)] = []

    mutating func insert(_ identity: IdentityDigest, at time: Int64) -> Bool {
      entries.removeAll { $0.time <= time - window }
      if entries.contains(where: { $0.identity == identity }) { return false }
      if entries.count == max { entries.removeFirst() }
      entries.append((identity, time))
      return true
    }
  }

  @Test("the identity window agrees with a list, through growth, expiry and overflow", arguments: 0..<30)
  func identityWindow(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let max = [1, 5, 64, 100, 1000][seed % 5]
    var window = IdentityWindow(window: .nanoseconds(50), identitiesMax: max)
    var naive = NaiveWindow(window: 50, max: max)
    var time: Int64 = 0
    for step in 0..<2000 {
      time += Int64.random(in: 0...3, using: &random) / 3 * Int64.random(in: 1...(step % 500 == 0 ? 60 : 2), using: &random)
      let identity = IdentityDigest(
        high: UInt64.random(in: 0..<200, using: &random), low: UInt64.random(in: 0..<2, using: &random))
      window.expire(at: Timestamp(nanoseconds: time))
      let isNew = window.insert(identity, at: Timestamp(nanoseconds: time))
      #expect(isNew == naive.insert(identity, at: time), "seed \(seed) step \(step)")
      #expect(window.count == naive.entries.count)
    }
    #expect(window.remembered.identities == naive.entries.map(\.identity))
    #expect(window.remembered.runs.reduce(0) { $0 + $1.count } == window.count)
  }

  @Test("the table finds every source it was given, and no other")
  func table() {
    var table = ProducerTable()
    for at in 0..<5000 {
      var name = "source/\(at)"
      let entry = name.withUTF8 { table.entry(for: UnsafeRawBufferPointer($0)) }
      #expect(entry == at)
      table.set(entry, ProducerPosition(epoch: UInt64(at), sequence: UInt64(at * 2)))
    }
    for at in 0..<5000 {
      var name = "source/\(at)"
      #expect(name.withUTF8 { table.find(UnsafeRawBufferPointer($0)) } == at)
      #expect(table.position(of: at) == ProducerPosition(epoch: UInt64(at), sequence: UInt64(at * 2)))
    }
    for name in ["", "source/", "source/5000", "source/00"] {
      var name = name
      #expect(name.withUTF8 { table.find(UnsafeRawBufferPointer($0)) } == nil)
    }
  }

  @Test("a snapshot gives back the state it was made of; with any byte changed or cut it is refused")
  func snapshot() throws {
    var state = ProducerState(dedupWindow: .seconds(10), identitiesMax: 100)
    let events = (0..<20).map { event("source/\($0 % 6)", sequence: UInt64($0), epoch: UInt64($0 % 2)) }
    for at in 0..<5 {
      let time = Timestamp(nanoseconds: Int64(at))
      _ = state.admit(batch(Array(events[at * 4..<at * 4 + 4])), at: time)
      _ = state.admit(batch([event(id: "\(at)"), event(id: "x\(at)")]), at: time)
    }
    let base = Offset(77)
    let file = ProducerSnapshot.encoded(state, partition: PartitionID(3), base: base, lastAppendTime: Timestamp(nanoseconds: 99))
    var restored = ProducerState(dedupWindow: .seconds(10), identitiesMax: 100)
    #expect(try ProducerSnapshot.decode(file, partition: PartitionID(3), base: base, into: &restored).nanoseconds == 99)
    let again = ProducerSnapshot.encoded(
      restored, partition: PartitionID(3), base: base, lastAppendTime: Timestamp(nanoseconds: 99))
    #expect(again == file)
    for position in file.indices {
      let flipped = file.enumerated().map { $0.offset == position ? $0.element ^ 2 : $0.element }
      for damaged in [flipped, Array(file.prefix(position))] {
        var target = ProducerState(dedupWindow: .seconds(10), identitiesMax: 100)
        #expect(throws: RecordDamage.self) {
          try ProducerSnapshot.decode(damaged, partition: PartitionID(3), base: base, into: &target)
        }
      }
    }
  }

  @Test("what is remembered of a log does not depend on whether it was replayed or lived through")
  func replay() {
    var random = SeededGenerator(seed: 5)
    var lived = ProducerState(dedupWindow: .nanoseconds(40), identitiesMax: 20)
    var replayed = ProducerState(dedupWindow: .nanoseconds(40), identitiesMax: 20)
    for at in 0..<300 {
      let time = Timestamp(nanoseconds: Int64(at * 3))
      let events = (0..<3).map { _ in
        Bool.random(using: &random)
          ? event("s\(Int.random(in: 0..<3, using: &random))", sequence: UInt64.random(in: 0..<UInt64(at + 2), using: &random))
          : event(id: "\(Int.random(in: 0..<40, using: &random))")
      }
      let whole = batch(events)
      let out = lived.admit(whole, at: time).map(\.row)
      if let kept = whole.selecting((0..<3).filter { !out.contains($0) }) {
        #expect(replayed.admit(kept, at: time).isEmpty)
      }
    }
    lived.expire(at: Timestamp(nanoseconds: 2000))
    replayed.expire(at: Timestamp(nanoseconds: 2000))
    func encoded(_ state: ProducerState) -> [[UInt64]] {
      (0..<3).compactMap { state.position(of: "s\($0)").map { [$0.epoch, $0.sequence] } }
        + state.identities.remembered.identities.map { [$0.high, $0.low] }
    }
    #expect(encoded(lived) == encoded(replayed))
  }
}
