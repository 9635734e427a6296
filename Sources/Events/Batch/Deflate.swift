import CZlib

/// zlib's format for a batch's payload, whole buffers at a time.
enum Deflate {
  /// Level 1: a higher one gains the log's readers little, and costs the writer.
  static func compress(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
    var size = compressBound(UInt(bytes.count))
    var failed = false
    let output = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
      failed =
        compress2(buffer.baseAddress, &size, bytes.bindMemory(to: UInt8.self).baseAddress, UInt(bytes.count), 1) != Z_OK
      count = failed ? 0 : Int(size)
    }
    return failed ? nil : output
  }

  /// Inflates to exactly `count` bytes; nil when the input is no zlib stream of that size.
  static func inflate(_ bytes: UnsafeRawBufferPointer, to count: Int) -> [UInt8]? {
    var size = UInt(count)
    var failed = false
    let output = [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
      failed =
        uncompress(buffer.baseAddress, &size, bytes.bindMemory(to: UInt8.self).baseAddress, UInt(bytes.count)) != Z_OK
        || Int(size) != count
      written = failed ? 0 : count
    }
    return failed ? nil : output
  }
}
