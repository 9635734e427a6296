import CZlib

/// The sending half of permessage-deflate. Takes up to 256 KiB from its first message on.
struct Deflater: ~Copyable {
  // On the heap: zlib's state points back at it and checks that it has not moved. Nil until needed.
  private var stream: UnsafeMutablePointer<z_stream>?
  private let windowBits: Int
  private let level: Int
  private let resets: Bool

  /// - Parameters:
  ///   - windowBits: 8 ... 15.
  ///   - level: 1 ... 9.
  init(windowBits: Int, level: Int, resets: Bool) {
    self.windowBits = windowBits
    self.level = level
    self.resets = resets
  }

  deinit {
    if let stream {
      deflateEnd(stream)
      stream.deallocate()
    }
  }

  private mutating func makeStream() -> UnsafeMutablePointer<z_stream>? {
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // Negative: no zlib header. zlib refuses 8 for such streams. With 9 its matches reach back at most
    // 512 - MIN_LOOKAHEAD (262) = 250 bytes (deflate.h, MAX_DIST), which a window of 256 holds.
    guard czlib_deflate_init(stream, Int32(level), Int32(-max(windowBits, 9))) == Z_OK else {
      stream.deallocate()
      return nil
    }
    self.stream = stream
    return stream
  }

  /// Appends one message, compressed, without the four bytes at its end that the receiver adds.
  ///
  /// - Returns: False, with nothing done, if zlib has no memory.
  mutating func deflate(_ bytes: UnsafeRawBufferPointer, into buffer: inout MessageBuffer) -> Bool {
    guard let stream = stream ?? makeStream() else { return false }
    precondition(bytes.count <= Int(Int32.max), "a message beyond 2 GiB")
    let start = buffer.count
    // zlib doesn't write through next_in.
    stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(bytes.count)
    repeat {
      buffer.reserve(max(256, min(Int(stream.pointee.avail_in), 1 << 16)), bytesMax: .max)
      let room = min(buffer.freeBytes, Int(Int32.max))
      stream.pointee.next_out = buffer.end.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      CZlib.deflate(stream, Z_SYNC_FLUSH)
      buffer.grew(by: room - Int(stream.pointee.avail_out))
    } while stream.pointee.avail_out == 0
    stream.pointee.next_in = nil
    if buffer.count - start >= 4 {
      buffer.shrink(by: 4)
    } else {
      // An empty message after a flush gives nothing new. RFC 7692, section 7.2.3.6: one zero byte stands for it.
      buffer.reserve(1, bytesMax: .max)
      buffer.end.storeBytes(of: 0, as: UInt8.self)
      buffer.grew(by: 1)
    }
    if resets { deflateReset(stream) }
    return true
  }
}
