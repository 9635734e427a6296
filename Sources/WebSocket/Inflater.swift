import CZlib

/// The receiving half of permessage-deflate: raw deflate, one stream over a connection's messages.
struct Inflater: ~Copyable {
  // On the heap: zlib's state points back at it and checks that it has not moved. Nil until needed.
  private var stream: UnsafeMutablePointer<z_stream>?
  private let windowBits: Int
  /// Whether each message starts with an empty window.
  private let resets: Bool
  /// The last byte fed ended a block marked final.
  private var isAtStreamEnd = false

  /// The bytes that the sender cuts off each message (RFC 7692, section 7.2.2): an empty stored block without its header bits.
  private static let tail: UInt32 = 0xFFFF_0000  // in memory 00 00 FF FF

  /// - Parameter windowBits: 8 ... 15.
  init(windowBits: Int, resets: Bool) {
    self.windowBits = windowBits
    self.resets = resets
  }

  deinit {
    if let stream {
      inflateEnd(stream)
      stream.deallocate()
    }
  }

  mutating func free() {
    guard let stream = stream.take() else { return }
    inflateEnd(stream)
    stream.deallocate()
  }

  private mutating func makeStream() throws(WebSocketViolation) -> UnsafeMutablePointer<z_stream> {
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // Negative: no zlib header.
    guard czlib_inflate_init(stream, Int32(-windowBits)) == Z_OK else {
      stream.deallocate()
      throw .inflateUnavailable
    }
    self.stream = stream
    return stream
  }

  /// Inflates one piece of a message, appending to `buffer`.
  ///
  /// - Parameter bytesMax: The most bytes that `buffer` may hold. One byte more is `.messageTooBig`, and no more is ever
  ///   inflated.
  mutating func inflate(
    _ bytes: UnsafeRawBufferPointer, into buffer: inout MessageBuffer, bytesMax: Int
  ) throws(WebSocketViolation) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    let stream = if let stream { stream } else { try makeStream() }
    // zlib doesn't write through next_in.
    stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
    isAtStreamEnd = false
    var left = bytes.count
    repeat {
      let input = min(left, Int(Int32.max))
      stream.pointee.avail_in = UInt32(input)
      try inflateAvailable(stream, into: &buffer, bytesMax: bytesMax)
      left -= input
    } while left > 0
    stream.pointee.next_in = nil
  }

  /// Ends a message: feeds the bytes that the sender cut off.
  mutating func finish(into buffer: inout MessageBuffer, bytesMax: Int) throws(WebSocketViolation) {
    // A sender that ends with a final block should add a zero byte for the tail to complete (section 7.2.3.4). One that
    // doesn't has nothing left to complete.
    if !isAtStreamEnd {
      var tail = Self.tail
      try withUnsafeBytes(of: &tail) { bytes throws(WebSocketViolation) in
        try inflate(bytes, into: &buffer, bytesMax: bytesMax)
      }
    }
    isAtStreamEnd = false
    if resets, let stream { inflateReset(stream) }
  }

  private mutating func inflateAvailable(
    _ stream: UnsafeMutablePointer<z_stream>, into buffer: inout MessageBuffer, bytesMax: Int
  ) throws(WebSocketViolation) {
    while true {
      // One byte beyond the bound, to tell full from too big.
      let room = bytesMax + 1 - buffer.count
      let wanted = min(room, max(buffer.freeBytes, min(4 * Int(stream.pointee.avail_in) + 256, 1 << 16)))
      buffer.reserve(wanted, bytesMax: bytesMax + 1)
      stream.pointee.next_out = buffer.end.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(wanted)
      let status = CZlib.inflate(stream, Z_SYNC_FLUSH)
      buffer.grew(by: wanted - Int(stream.pointee.avail_out))
      if buffer.count > bytesMax { throw .messageTooBig }
      switch status {
      case Z_OK:
        // With room left in the output, zlib has taken and flushed all there is.
        if stream.pointee.avail_in == 0 && stream.pointee.avail_out > 0 { return }
      case Z_STREAM_END:
        // A block marked final (section 7.2.3.4): more may follow, over the same window.
        inflateResetKeep(stream)
        isAtStreamEnd = stream.pointee.avail_in == 0
        if stream.pointee.avail_in == 0 { return }
      case Z_BUF_ERROR:
        // Nothing to do: neither input nor pending output was left.
        return
      case Z_MEM_ERROR:
        throw .inflateUnavailable
      default:
        throw .deflateCorrupt
      }
    }
  }
}
