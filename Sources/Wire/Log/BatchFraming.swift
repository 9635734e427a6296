import Events
import NIOCore

/// Batches as a body: back to back, each with its header, which states its length.
enum BatchFraming {
  /// The longest body with batches: one of the largest, or several that are together no longer.
  static let bytesMax = BatchHeader.byteCount + BatchHeader.payloadBytesMax + (1 << 20)
  /// The bytes of several batches in one request or answer.
  static let groupBytesMax = 4 << 20

  static func encode(_ batches: [ColumnBatch]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.reserveCapacity(batches.reduce(0) { $0 + $1.encoded.count })
    for batch in batches { buffer.writeBytes(batch.encoded) }
    return buffer
  }

  /// Reads batches, checking each as `ColumnBatch.init(encoded:)` does.
  /// - Parameters:
  ///   - body: Batches and nothing else.
  ///   - partition: The partition of all batches; nil where they may be of several.
  ///   - countMax: The most batches of one partition; one more is damage.
  /// - Throws: An error with the position in the body.
  static func decode(_ body: ByteBuffer, partition: PartitionID?, countMax: Int) throws(BatchError) -> [ColumnBatch] {
    var buffer = body
    var batches: [ColumnBatch] = []
    var counts: [PartitionID: Int] = [:]
    while buffer.readableBytes > 0 {
      let at = buffer.readerIndex - body.readerIndex
      let parsed = buffer.withUnsafeReadableBytes { bytes -> Result<BatchHeader, BatchError> in
        do throws(BatchError) { return .success(try BatchHeader(parsing: bytes)) } catch { return .failure(error) }
      }
      let header: BatchHeader
      do throws(BatchError) {
        header = try parsed.get()
        counts[header.partition, default: 0] += 1
        guard counts[header.partition, default: 0] <= countMax else { throw BatchError(.bounds, at: 0) }
        guard partition == nil || header.partition == partition, let bytes = buffer.readBytes(length: header.batchBytes) else {
          throw BatchError(.truncated, at: 0)
        }
        batches.append(try ColumnBatch(encoded: bytes))
      } catch {
        throw BatchError(error.code, at: at + error.position)
      }
    }
    return batches
  }
}
