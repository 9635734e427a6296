import Events
import Producers
import TestSupport
import Testing

@testable import Log

@Suite("Suspect duplicates")
struct SuspectTests {
  private func state() -> ProducerState { ProducerState(dedupWindow: .seconds(10), identitiesMax: 100) }

  private func sent(_ sequence: UInt64, at time: Int64, epoch: UInt64? = nil, by source: String = "a") -> Event {
    var event = event(source, sequence: sequence, epoch: epoch)
    event.time = Timestamp(nanoseconds: time)
    return event
  }

  /// The judgement of each row: nil where it is appended, else its suspicion; `.some(nil)` for a plain duplicate.
  private func judge(_ state: inout ProducerState, _ events: [Event]) -> [AppendReceipt.Exception.Suspicion??] {
    let exceptions = state.admit(batch(events), at: Timestamp(nanoseconds: 1))
    return events.indices.map { row in exceptions.first { $0.row == row }.map(\.suspicion) }
  }

  @Test("after a jump what was skipped is suspect, and what is sent again is not", arguments: [true, false])
  func jump(isOneBatch: Bool) {
    var state = state()
    // All at one time: only the sequences tell.
    let events = ([1, 2, 3, 1_000_000_000, 4, 5, 3, 1_000_000_000, 999_999_999, 1_000_000_001, 6] as [UInt64]).map {
      sent($0, at: 7)
    }
    let expected: [AppendReceipt.Exception.Suspicion??] = [
      nil, nil, nil, nil, .skipped, .skipped, .some(nil), .some(nil), .skipped, nil, .skipped,
    ]
    let judged = isOneBatch ? judge(&state, events) : events.flatMap { judge(&state, [$0]) }
    #expect(judged == expected)
  }

  @Test("a first sequence that is too high makes those below it suspect")
  func first() {
    var state = state()
    #expect(
      judge(&state, [sent(500, at: 7), sent(1, at: 7), sent(499, at: 7), sent(500, at: 7)]) == [
        nil, .skipped, .skipped, .some(nil),
      ])
  }

  @Test("a count that begins anew without an epoch is told by its times; with one it is judged by that epoch alone")
  func anew() {
    var state = state()
    #expect(judge(&state, (1...5).map { sent($0, at: Int64($0) * 10) }) == Array(repeating: nil, count: 5))
    #expect(
      judge(&state, [sent(1, at: 60), sent(2, at: 10), sent(5, at: 50), sent(3, at: 51)]) == [
        .newer, .some(nil), .some(nil), .newer,
      ])
    #expect(
      judge(&state, [sent(3, at: 8, epoch: 1), sent(3, at: 8, epoch: 1), sent(2, at: 8, epoch: 1), sent(3, at: 9, epoch: 1)])
        == [nil, .some(nil), .skipped, .newer])
    // Nothing of the first epoch counts, and what is fenced is no duplicate.
    #expect(state.admit(batch([sent(6, at: 99)]), at: Timestamp(nanoseconds: 1)).map(\.suspicion) == [nil])
  }

  @Test("the widest jump is what is remembered")
  func widest() {
    var state = state()
    for sequence in [1, 3, 100, 103] as [UInt64] { _ = judge(&state, [sent(sequence, at: 7)]) }
    #expect(judge(&state, [sent(2, at: 7), sent(50, at: 7), sent(101, at: 7)]) == [.some(nil), .skipped, .some(nil)])
  }

  @Test("an event of the log that is sent again is never suspect, whatever the sequences and times", arguments: 0..<50)
  func noFalseAlarm(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var state = state()
    var appended: [Event] = []
    for _ in 0..<200 {
      let source = "s\(Int.random(in: 0..<3, using: &random))"
      var events = (0..<4).map { _ in
        sent(
          .random(in: 0..<(Bool.random(using: &random) ? 50 : 5000), using: &random), at: .random(in: 0..<1000, using: &random),
          epoch: UInt64(appended.count / 100), by: source)
      }
      if let again = appended.randomElement(using: &random) { events.append(again) }
      let exceptions = state.admit(batch(events), at: Timestamp(nanoseconds: 1))
      for exception in exceptions where appended.contains(events[exception.row]) {
        #expect(exception.suspicion == nil, "seed \(seed): \(events[exception.row])")
      }
      appended += events.indices.filter { row in !exceptions.contains { $0.row == row } }.map { events[$0] }
    }
  }

  @Test("judging goes on over a snapshot; one of the older format knows neither times nor jumps")
  func snapshots() throws {
    var lived = state()
    _ = judge(&lived, [1, 2, 900].map { sent($0, at: Int64($0)) } + [sent(1, at: 5, by: "b")])
    let file = ProducerSnapshot.encoded(
      lived, partition: PartitionID(3), base: Offset(4), lastAppendTime: Timestamp(nanoseconds: 9))
    var restored = state()
    _ = try ProducerSnapshot.decode(file, partition: PartitionID(3), base: Offset(4), into: &restored)
    let next = [sent(3, at: 3), sent(2, at: 901), sent(2, at: 2), sent(1, at: 6, by: "b"), sent(1, at: 5, by: "b")]
    #expect(judge(&restored, next) == [.skipped, .newer, .some(nil), .newer, .some(nil)])

    var body: [UInt8] = []
    func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { body.append(contentsOf: $0) } }
    append(UInt64(0))
    append(UInt64(900))
    append(UInt32(1))
    body.append(UInt8(ascii: "a"))
    var record = FixedRecord(magic: "PNP1", partition: PartitionID(3))
    record.put(Int64(4), at: 8)
    record.put(UInt64(1), at: 16)
    record.put(UInt64(body.count), at: 48)
    record.put(body.withUnsafeBytes { checksum($0) }, at: 56)
    var old = state()
    _ = try ProducerSnapshot.decode(record.sealed() + body, partition: PartitionID(3), base: Offset(4), into: &old)
    #expect(old.position(of: "a") == ProducerPosition(epoch: 0, sequence: 900))
    #expect(judge(&old, [sent(3, at: 3000), sent(901, at: 5), sent(902, at: 5)]) == [.some(nil), nil, nil])
  }

  @Test("receipts name the sources of suspect and fenced rows, some of them")
  func named() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 1
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    _ = try await log.append(batch([sent(1, at: 1), sent(900, at: 2), sent(1, at: 1, epoch: 4, by: "b")]))
    let receipt = try await log.append(batch([sent(1, at: 1), sent(2, at: 1), sent(7, at: 1, by: "b")]))
    #expect(receipt.exceptions.map(\.suspicion) == [nil, .skipped, nil])
    #expect(
      receipt.named == [
        .init(row: 1, source: "a", sequence: 2, last: ProducerPosition(epoch: 0, sequence: 900)),
        .init(row: 2, source: "b", sequence: 7, last: ProducerPosition(epoch: 4, sequence: 1)),
      ])
    let flood = try await log.append(batch((2..<100).map { sent($0, at: 1) }))
    #expect(flood.exceptions.count == 98 && flood.named.count == AppendReceipt.namedMax)
    await log.close()
  }
}
