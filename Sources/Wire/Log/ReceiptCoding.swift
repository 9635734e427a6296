import Events
import NIOCore

/// The answer to appended batches: each batch's result, in order. Little-endian.
///
/// ```
/// u32  results
/// each  u8 0: i64 base offset, i64 end offset, u32 exceptions
///              each exception  u32 row, bit 31 set if fenced; u64 the epoch if fenced, else 1 or 2 of a suspect duplicate, or 0
///       u8 2: as 0, then u32 names
///              each name  u32 row, u64 sequence, u64 last epoch, u64 last sequence, u32 length of the source, the source
///       u8 1: u32 length of the `LogError` as JSON, the JSON
/// ```
enum ReceiptCoding {
  /// If every row of every batch were an exception, it would be longer: a request then holds fewer batches.
  static let bytesMax = 16 << 20

  static func encode(_ results: [Result<AppendReceipt, LogError>]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(UInt32(results.count), endianness: .little)
    for result in results {
      switch result {
      case .success(let receipt):
        buffer.writeInteger(UInt8(receipt.named.isEmpty ? 0 : 2))
        buffer.writeInteger(receipt.baseOffset.rawValue, endianness: .little)
        buffer.writeInteger(receipt.endOffset.rawValue, endianness: .little)
        buffer.writeInteger(UInt32(receipt.exceptions.count), endianness: .little)
        for exception in receipt.exceptions {
          buffer.writeInteger(UInt32(exception.row) | (exception.isFenced ? 1 << 31 : 0), endianness: .little)
          buffer.writeInteger(exception.detailBits, endianness: .little)
        }
        if !receipt.named.isEmpty { write(receipt.named, to: &buffer) }
      case .failure(let error):
        buffer.writeInteger(UInt8(1))
        buffer.writeError(error)
      }
    }
    return buffer
  }

  /// - Parameter rows: The rows of each batch sent, in order.
  /// - Returns: One result for each batch; nil when the bytes are no answer to those batches.
  static func decode(_ body: ByteBuffer, rows: [Int]) -> [Result<AppendReceipt, LogError>]? {
    var buffer = body
    guard buffer.readInteger(endianness: .little, as: UInt32.self) == UInt32(rows.count) else { return nil }
    var results: [Result<AppendReceipt, LogError>] = []
    for rows in rows {
      let kind = buffer.readInteger(as: UInt8.self)
      switch kind {
      case 0, 2:
        guard let base = buffer.readInteger(endianness: .little, as: Int64.self),
          let end = buffer.readInteger(endianness: .little, as: Int64.self),
          let count = buffer.readInteger(endianness: .little, as: UInt32.self), count <= rows,
          buffer.readableBytes >= Int(count) * 12, base >= 0, end >= base
        else { return nil }
        var receipt = AppendReceipt(baseOffset: Offset(base), endOffset: Offset(end))
        var previous = -1
        for _ in 0..<count {
          guard let row = buffer.readInteger(endianness: .little, as: UInt32.self),
            let detail = buffer.readInteger(endianness: .little, as: UInt64.self)
          else { return nil }
          let number = Int(row & 0x7FFF_FFFF)
          guard number > previous, number < rows else { return nil }
          previous = number
          receipt.exceptions.append(.init(row: number, isFenced: row >> 31 == 1, detailBits: detail))
        }
        if kind == 2 {
          guard let named = readNames(&buffer, rows: rows) else { return nil }
          receipt.named = named
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

  private static func write(_ named: [AppendReceipt.Named], to buffer: inout ByteBuffer) {
    buffer.writeInteger(UInt32(named.count), endianness: .little)
    for one in named {
      buffer.writeInteger(UInt32(one.row), endianness: .little)
      for number in [one.sequence, one.last.epoch, one.last.sequence] { buffer.writeInteger(number, endianness: .little) }
      buffer.writeInteger(UInt32(one.source.utf8.count), endianness: .little)
      buffer.writeString(one.source)
    }
  }

  private static func readNames(_ buffer: inout ByteBuffer, rows: Int) -> [AppendReceipt.Named]? {
    guard let count = buffer.readInteger(endianness: .little, as: UInt32.self), count <= AppendReceipt.namedMax else {
      return nil
    }
    var named: [AppendReceipt.Named] = []
    for _ in 0..<count {
      guard let row = buffer.readInteger(endianness: .little, as: UInt32.self), row < rows,
        let sequence = buffer.readInteger(endianness: .little, as: UInt64.self),
        let epoch = buffer.readInteger(endianness: .little, as: UInt64.self),
        let last = buffer.readInteger(endianness: .little, as: UInt64.self),
        // Repairing made each byte at most three.
        let bytes = buffer.readInteger(endianness: .little, as: UInt32.self), bytes <= RejectedEvent.sourceBytesMax * 3,
        let source = buffer.readString(length: Int(bytes))
      else { return nil }
      named.append(.init(row: Int(row), source: source, sequence: sequence, last: ProducerPosition(epoch: epoch, sequence: last)))
    }
    return named
  }
}
