import Events
import Foundation
import Glibc

/// Batches in a file, in the page cache and not in this process: made once, read as a log's segments are.
final class BatchFile: Sendable {
  private let descriptor: Int32
  /// Where each batch begins, by partition and number, and the end.
  private let places: [Int]
  private let batches: Int

  /// - Parameter make: Makes a batch of a partition.
  init(_ path: String, partitions: Int, batches: Int, _ make: (PartitionID, Int) throws -> ColumnBatch) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    self.descriptor = descriptor
    guard descriptor >= 0 else { throw BenchError("\(path) cannot be made") }
    var places = [0]
    for partition in 0..<partitions {
      for number in 0..<batches {
        let bytes = try make(PartitionID(partition), number).encoded
        let count = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, places[places.count - 1]) }
        guard count == bytes.count else { throw BenchError("\(path) cannot be written") }
        places.append(places[places.count - 1] + bytes.count)
      }
    }
    self.places = places
    self.batches = batches
  }

  deinit { close(descriptor) }

  func read(_ partition: PartitionID, _ number: Int) throws -> ColumnBatch {
    let index = partition.index * batches + number
    let start = places[index]
    let bytes = [UInt8](unsafeUninitializedCapacity: places[index + 1] - start) { buffer, count in
      count = max(0, pread(descriptor, buffer.baseAddress, buffer.count, start))
    }
    return try ColumnBatch(encoded: bytes)
  }
}
