import Events
import NIOCore

/// The answer to a read of several partitions. Little-endian.
///
/// ```
/// u32  partitions
/// each  u16 partition, u8 0: u32 bytes of its batches, and those, back to back
///                      u8 1: u32 bytes of the `LogError` as JSON, and those
/// ```
enum ReadCoding {
  static func encode(_ reads: [PartitionRead]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.reserveCapacity(4 + reads.reduce(0) { $0 + 7 + (((try? $1.result.get()) ?? []).reduce(0) { $0 + $1.encoded.count }) })
    buffer.writeInteger(UInt32(reads.count), endianness: .little)
    for read in reads {
      buffer.writeInteger(read.partition.rawValue, endianness: .little)
      switch read.result {
      case .success(let batches):
        buffer.writeInteger(UInt8(0))
        buffer.writeInteger(UInt32(batches.reduce(0) { $0 + $1.encoded.count }), endianness: .little)
        for batch in batches { buffer.writeBytes(batch.encoded) }
      case .failure(let error):
        buffer.writeInteger(UInt8(1))
        buffer.writeError(error)
      }
    }
    return buffer
  }

  /// - Parameters:
  ///   - body: The answer's body.
  ///   - positions: The offsets that were asked for.
  /// - Returns: Reads of at least one partition, in the order of their numbers; nil when the bytes answer something
  ///   else. A partition whose batches are damaged, or do not continue at its offset, has failed with `.corrupt`.
  static func decode(_ body: ByteBuffer, from positions: OffsetVector) -> [PartitionRead]? {
    var buffer = body
    let asked = positions.sorted
    guard let count = buffer.readInteger(endianness: .little, as: UInt32.self), (1...asked.count).contains(Int(count)) else {
      return nil
    }
    var reads: [PartitionRead] = []
    for (partition, start) in asked.prefix(Int(count)) {
      guard buffer.readInteger(endianness: .little, as: UInt16.self) == partition.rawValue,
        let kind = buffer.readInteger(as: UInt8.self)
      else { return nil }
      switch kind {
      case 0:
        guard let length = buffer.readInteger(endianness: .little, as: UInt32.self),
          let bytes = buffer.readSlice(length: Int(length))
        else { return nil }
        reads.append(PartitionRead(partition, batches(bytes, partition, from: start)))
      case 1:
        guard let error = buffer.readError() else { return nil }
        reads.append(PartitionRead(partition, .failure(error)))
      default: return nil
      }
    }
    return buffer.readableBytes == 0 ? reads : nil
  }

  /// The batches of a log's answer.
  /// - Parameters:
  ///   - body: The batches and nothing else.
  ///   - partition: The partition that was asked for.
  ///   - start: The offset at which they must begin, unless there are none.
  static func batches(_ body: ByteBuffer, _ partition: PartitionID, from start: Offset) -> Result<[ColumnBatch], LogError> {
    let batches: [ColumnBatch]
    do throws(BatchError) {
      batches = try BatchFraming.decode(body, partition: partition, countMax: Int.max)
    } catch {
      return .failure(
        LogError(
          .corrupt, partition: partition, place: "byte \(error.position)", "the log's answer holds a damaged batch: \(error)"))
    }
    guard batches.first.map({ $0.baseOffset <= start && start < $0.endOffset }) ?? true,
      zip(batches, batches.dropFirst()).allSatisfy({ $0.endOffset == $1.baseOffset })
    else {
      return .failure(LogError(.corrupt, partition: partition, "the log's answer does not continue at offset \(start)"))
    }
    return .success(batches)
  }
}
