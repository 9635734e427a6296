import CZlib

/// Inflates a gzip body, bounding the result.
enum GzipInflater {
  enum Failure: Error {
    case tooLarge
    case corrupt
  }

  /// - Parameter bytesMax: The most bytes of the result: memory is taken as it is filled, so a bomb costs no more.
  static func inflate(_ input: UnsafeRawBufferPointer, bytesMax: Int) throws(Failure) -> [UInt8] {
    // At one address: zlib refuses a stream that has moved.
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    defer { stream.deallocate() }
    // 16 above the largest window: gzip's header and trailer.
    guard czlib_inflate_init(stream, 15 + 16) == Z_OK else { throw .corrupt }
    defer { inflateEnd(stream) }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(max(input.count * 4, 4096), 1 << 20))
    var status = Z_OK
    var used = 0
    while status != Z_STREAM_END {
      let made = chunk.withUnsafeMutableBufferPointer { target -> Int in
        stream.pointee.next_in = UnsafeMutablePointer(
          mutating: input.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) + used })
        stream.pointee.avail_in = UInt32(input.count - used)
        stream.pointee.next_out = target.baseAddress
        stream.pointee.avail_out = UInt32(target.count)
        status = CZlib.inflate(stream, Z_NO_FLUSH)
        used = input.count - Int(stream.pointee.avail_in)
        return target.count - Int(stream.pointee.avail_out)
      }
      guard status == Z_OK || status == Z_STREAM_END else { throw .corrupt }
      guard output.count + made <= bytesMax else { throw .tooLarge }
      output.append(contentsOf: chunk[..<made])
      if status == Z_STREAM_END, used < input.count {
        // A gzip file may have several members.
        guard inflateReset(stream) == Z_OK else { throw .corrupt }
        status = Z_OK
      }
    }
    return output
  }
}
