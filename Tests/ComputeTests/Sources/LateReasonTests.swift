import Events
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

@Suite("Why an event was late")
struct LateReasonTests {
  private static func entries(seed: UInt64, from first: Int64, count: Int, expired: ClosedRange<Int>) -> [LateEntry] {
    var random = SeededGenerator(seed: seed)
    var offset = first
    return (0..<count).map { _ in
      offset += Int64.random(in: 1...300, using: &random)
      return LateEntry(
        offset: Offset(offset), eventTime: Int64.random(in: .min ... .max, using: &random),
        reason: expired.contains(Int.random(in: 0..<10, using: &random)) ? .expired : .windowClosed)
    }
  }

  @Test("the reason is kept in the file, in blocks that are filled up later")
  func blocks() throws {
    let db = try SQLiteConnection(path: ":memory:")
    try CheckpointSchema.create(db)
    try db.run("INSERT INTO view (id, name, hash, generation) VALUES (1, 'v', 'h', 1)")
    var all: [LateEntry] = []
    for part in 0..<9 {
      let entries = Self.entries(
        seed: UInt64(part), from: all.last?.offset.rawValue ?? -1, count: [1, 700, 4100][part % 3],
        expired: part == 0 ? 0...9 : part < 5 ? 0...2 : 11...11)
      var log = LateLog(countMax: 100_000)
      for entry in entries { log.append(entry) }
      try LateBlock.write(log, view: 1, PartitionID(2), countMax: 100_000, to: db)
      all += entries
      #expect(try LateBlock.read(db, GenerationID(view: "v", number: 1), PartitionID(2)) == all)
    }
    #expect(try db.first("SELECT count(*) FROM late WHERE expired IS NULL") { $0.int(0) } ?? 0 > 0, "most blocks have none")
  }

  @Test("bits that do not belong to the events are refused")
  func damaged() {
    var entries = Self.entries(seed: 1, from: 0, count: 9, expired: 0...5)
    let bits = LateBlock.encodeExpired(entries) ?? []
    #expect(bits.count == 2)
    #expect(bits.withUnsafeBytes { LateBlock.decodeExpired($0, into: &entries) })
    for wrong in [Array(bits.dropLast()), bits + [0]] {
      #expect(!wrong.withUnsafeBytes { LateBlock.decodeExpired($0, into: &entries) })
    }
  }
}
