import Events
import Testing

@testable import Log

@Suite("Segmented log")
struct SegmentedLogTests {
  @Test("what is appended is read back, in order, with dense offsets, and again after a restart")
  func roundTrip() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    let first = try await log.append(batch(1...3))
    let second = try await log.append(batch(4...5))
    #expect(first == AppendReceipt(baseOffset: Offset(0), endOffset: Offset(3)))
    #expect(second == AppendReceipt(baseOffset: Offset(3), endOffset: Offset(5)))
    let expected = (1...5).map { event(sequence: UInt64($0), value: Int64($0)) }
    #expect(try await readAll(log) == expected)
    await log.close()
    let again = try await openLog(files)
    #expect(try await readAll(again) == expected)
    #expect(try await again.append(batch(6...6)).baseOffset == Offset(5))
  }
}
