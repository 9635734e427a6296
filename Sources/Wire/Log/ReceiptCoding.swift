import Events
import NIOCore

/// The answer to appended batches: what became of each, in order. Little-endian.
///
/// ```
/// u32  results
/// each  u8 0: i64 base offset, i64 end offset, u32 exceptions
///              each exception  u32 row, bit 31 set if fenced; u64 epoch
///       u8 1: u32 bytes of the `LogError` as JSON, and those
/// ```
enum ReceiptCoding {
  /// Every row of every batch excepted would be more: then a request holds fewer batches.
  static let bytesMax = 16 << 20

  static func encode(_ results: [Result<AppendReceipt, LogError>]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(UInt32(results.count), endianness: .little)
    for result in results {
      switch result {
      case .success(let receipt):
        buffer.writeInteger(UInt8(0))
        buffer.writeInteger(receipt.baseOffset.rawValue, endianness: .little)
        buffer.writeInteger(receipt.endOffset.rawValue, endianness: .little)
        buffer.writeInteger(UInt32(receipt.exceptions.count), endianness: .little)
        for exception in receipt.exceptions {
          switch exception.reason {
          case .duplicate:
            buffer.writeInteger(UInt32(exception.row), endianness: .little)
            buffer.writeInteger(UInt64(0), endianness: .little)
          case .fenced(let epoch):
            buffer.writeInteger(UInt32(exception.row) | 1 << 31, endianness: .little)
            buffer.writeInteger(epoch, endianness: .little)
          }
        }
      case .failure(let error):
        buffer.writeInteger(UInt8(1))
        buffer.writeError(error)
      }
    }
    return buffer
  }

  /// - Parameter rows: Of each batch sent, in order.
  /// - Returns: As many results; nil when the bytes are no answer to those batches.
  static func decode(_ body: ByteBuffer, rows: [Int]) -> [Result<AppendReceipt, LogError>]? {
    var buffer = body
    guard buffer.readInteger(endianness: .little, as: UInt32.self) == UInt32(rows.count) else { return nil }
    var results: [Result<AppendReceipt, LogError>] = []
    for rows in rows {
      switch buffer.readInteger(as: UInt8.self) {
      case 0:
        guard let base = buffer.readInteger(endianness: .little, as: Int64.self),
          let end = buffer.readInteger(endianness: .little, as: Int64.self),
          let count = buffer.readInteger(endianness: .little, as: UInt32.self), count <= rows,
          buffer.readableBytes >= Int(count) * 12, base >= 0, end >= base
        else { return nil }
        var receipt = AppendReceipt(baseOffset: Offset(base), endOffset: Offset(end))
        var previous = -1
        for _ in 0..<count {
          guard let row = buffer.readInteger(endianness: .little, as: UInt32.self),
            let epoch = buffer.readInteger(endianness: .little, as: UInt64.self)
          else { return nil }
          let number = Int(row & 0x7FFF_FFFF)
          guard number > previous, number < rows else { return nil }
          previous = number
          receipt.exceptions.append(.init(row: number, reason: row >> 31 == 1 ? .fenced(currentEpoch: epoch) : .duplicate))
        }
        results.append(.success(receipt))
      case 1:
        guard let error = buffer.readError() else { return nil }
        results.append(.failure(error))
      default: return nil
      }
    }
    return buffer.readableBytes == 0 ? results : nil
  }
}
