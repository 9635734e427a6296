import Events
import NIOCore

/// Entries of the record of views over the wire: each is a `u32` length, little-endian, and so many bytes.
enum ViewsRecordCoding {
  /// The most bytes of one answer: an entry is never longer than half of it.
  static let bytesMax = ViewsRecordLimits.entryBytesMax * 2

  static func encode(_ entries: [[UInt8]]) -> ByteBuffer {
    var buffer = ByteBuffer()
    for entry in entries {
      buffer.writeInteger(UInt32(entry.count), endianness: .little)
      buffer.writeBytes(entry)
    }
    return buffer
  }

  /// Nil when the bytes are no entries.
  static func decode(_ buffer: ByteBuffer) -> [[UInt8]]? {
    var buffer = buffer
    var entries: [[UInt8]] = []
    while buffer.readableBytes > 0 {
      guard let length = buffer.readInteger(endianness: .little, as: UInt32.self), length <= ViewsRecordLimits.entryBytesMax,
        let entry = buffer.readBytes(length: Int(length))
      else { return nil }
      entries.append(entry)
    }
    return entries
  }
}
