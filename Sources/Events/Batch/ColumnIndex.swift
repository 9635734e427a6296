import Glibc
import Synchronization

/// Finds the columns of a path among a wide batch's thousands without looking at each. Made when a path is first asked for.
final class ColumnIndex: Sendable {
  /// With fewer columns, looking at each is as fast.
  static let columnsMin = 256

  /// The numbers of the data columns, in the order of their paths' bytes: columns below a path follow it, since a zero byte comes
  /// next.
  private let sorted = Mutex<[Int]?>(nil)

  /// The numbers of the data columns at a path, or below it.
  /// - Parameter path: A path in the batch's form: each member's name with a zero byte before it.
  /// - Complexity: Logarithmic in the columns, and linear in those found.
  func columns(atOrBelow path: [UInt8], in batch: ColumnBatch) -> ArraySlice<Int> {
    let sorted = sorted(batch)
    return path.withUnsafeBytes { path in
      var low = 0, high = sorted.count
      while low < high {
        let middle = (low + high) / 2
        if batch.withName(sorted[middle], { ColumnIndex.isLess($0, path) }) { low = middle + 1 } else { high = middle }
      }
      let end = sorted[low...].firstIndex { number in
        !batch.withName(number) { name in
          name.count >= path.count && name.starts(with: path)
            && (path.isEmpty || name.count == path.count || name[path.count] == 0)
        }
      }
      return sorted[low..<(end ?? sorted.count)]
    }
  }

  private func sorted(_ batch: ColumnBatch) -> [Int] {
    if let known = sorted.withLock({ $0 }) { return known }
    let columns = batch.layout.columns
    let made = columns.indices.filter { columns[$0].field == .data }.sorted { a, b in
      batch.withName(a) { first in batch.withName(b) { ColumnIndex.isLess(first, $0) } }
    }
    sorted.withLock { $0 = made }
    return made
  }

  private static func isLess(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard let first = a.baseAddress, let second = b.baseAddress else { return a.count < b.count }
    let order = memcmp(first, second, min(a.count, b.count))
    return order == 0 ? a.count < b.count : order < 0
  }
}

extension ColumnBatch {
  fileprivate func withName<R>(_ column: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    withString(layout.columns[column].name, body)
  }
}
