import Events
import Testing
import Views

@testable import Compute

@Suite("Settled rows")
struct SettledRowsTests {
  private func range(_ key: String, partition: Int = 0, through: Int64 = 10) -> StoredRange {
    StoredRange(
      view: 1, partition: PartitionID(partition), rows: StoredRows(slots: 0...through), key: KeyCodec.encode([.string(key)]))
  }

  private func rows(_ count: Int) -> PartialRows {
    var rows = PartialRows(stride: 1)
    for number in 0..<count {
      KeyCodec.encode([.string("k")]).withUnsafeBytes { key in
        rows.append(partition: PartitionID(0), windowStart: Int64(number), windowEnd: Int64(number) + 1, key: key) {
          $0.append(7)
        }
      }
    }
    return rows
  }

  @Test("are found for exactly what they are of")
  func exact() {
    let settled = SettledRows()
    settled.keep(rows(3), of: range("a"), as: settled.epoch)
    #expect(settled.rows(of: range("a"), as: settled.epoch)?.count == 3)
    #expect(settled.rows(of: range("b"), as: settled.epoch) == nil)
    #expect(settled.rows(of: range("a", partition: 1), as: settled.epoch) == nil)
    #expect(settled.rows(of: range("a", through: 11), as: settled.epoch) == nil, "one window more has closed")
    var all = range("a")
    all.key = nil
    settled.keep(rows(3), of: all, as: settled.epoch)
    #expect(settled.rows(of: all, as: settled.epoch) == nil, "of one key only")
    settled.keep(rows(SettledRows.rowsMax + 1), of: range("c"), as: settled.epoch)
    #expect(settled.rows(of: range("c"), as: settled.epoch) == nil, "of few rows only")
  }

  @Test("are not kept when the file has become another since they were read")
  func epochs() {
    let settled = SettledRows()
    let epoch = settled.epoch
    settled.keep(rows(1), of: range("a"), as: epoch)
    settled.forget()
    #expect(settled.rows(of: range("a"), as: settled.epoch) == nil)
    settled.keep(rows(1), of: range("a"), as: epoch)
    #expect(settled.rows(of: range("a"), as: settled.epoch) == nil)
    settled.keep(rows(1), of: range("a"), as: settled.epoch)
    #expect(settled.rows(of: range("a"), as: settled.epoch)?.count == 1)
  }

  @Test("are bounded, and those in use stay")
  func bounded() {
    let settled = SettledRows()
    settled.keep(rows(1), of: range("used"), as: settled.epoch)
    for number in 0..<20_000 {
      settled.keep(rows(10), of: range("key-\(number)"), as: settled.epoch)
      if number % 100 == 0 { #expect(settled.rows(of: range("used"), as: settled.epoch) != nil) }
    }
    #expect(settled.rows(of: range("key-0"), as: settled.epoch) == nil)
    #expect(settled.count < 20_000 / 4)
  }
}
