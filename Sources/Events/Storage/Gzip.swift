import CZlib

/// RFC 1952, whole buffers at a time.
public enum Gzip {
  /// - Returns: Nil when there is no memory for it.
  public static func compress(_ bytes: [UInt8], level: Int32 = 6) -> [UInt8]? {
    var stream = z_stream()
    // 16 more than the window's bits: gzip's header and trailer instead of zlib's.
    guard czlib_deflate_init(&stream, level, 15 + 16) == Z_OK else { return nil }
    defer { deflateEnd(&stream) }
    let bound = Int(deflateBound(&stream, UInt(bytes.count)))
    var isDone = false
    var input = bytes
    let output = [UInt8](unsafeUninitializedCapacity: bound) { output, count in
      input.withUnsafeMutableBufferPointer { input in
        stream.next_in = input.baseAddress
        stream.avail_in = UInt32(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(bound)
        isDone = deflate(&stream, Z_FINISH) == Z_STREAM_END
      }
      count = isDone ? bound - Int(stream.avail_out) : 0
    }
    return isDone ? output : nil
  }
}
