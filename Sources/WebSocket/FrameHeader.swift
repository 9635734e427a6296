/// A frame's first 2 to 14 bytes (RFC 6455, section 5.2):
///
/// ```
/// FIN RSV1 RSV2 RSV3 opcode(4) | MASK length(7) | length(16 if 126, 64 if 127) | mask key(32 if MASK)
/// ```
struct FrameHeader {
  static let bytesMax = 14

  /// FIN, the reserved bits and the opcode.
  var first: UInt8
  /// How long the header itself is.
  var headerBytes: Int
  var payloadBytes: Int
  /// The mask key as it lies in memory; 0 without a mask.
  var key: UInt32

  var isFinal: Bool { first & 0x80 != 0 }
  var isCompressed: Bool { first & 0x40 != 0 }
  var opcode: UInt8 { first & 0x0F }
  var isControl: Bool { first & 0x08 != 0 }

  /// - Returns: Nil if more bytes are needed.
  /// - Throws: A violation that the header alone shows, as soon as its first two bytes are there.
  @inline(__always)
  static func parse(
    _ bytes: UnsafeRawPointer, count: Int, isMaskExpected: Bool
  ) throws(WebSocketViolation) -> FrameHeader? {
    guard count >= 2 else { return nil }
    let first = bytes.load(as: UInt8.self)
    let second = bytes.load(fromByteOffset: 1, as: UInt8.self)
    let short = Int(second & 0x7F)
    if first & 0x30 != 0 { throw .reservedBit }
    if 0b0000_0111_0000_0111 & (1 as UInt16) &<< UInt16(first & 0x0F) == 0 { throw .reservedOpcode }
    if first & 0x08 != 0 {
      if first & 0x40 != 0 { throw .reservedBit }
      if first & 0x80 == 0 { throw .controlFrameFragmented }
      if short > 125 { throw .controlFrameTooLong }
    }
    if (second & 0x80 != 0) != isMaskExpected { throw isMaskExpected ? .maskMissing : .maskPresent }

    var headerBytes = 2
    var payloadBytes = short
    if short == 126 {
      headerBytes = 4
      guard count >= 4 else { return nil }
      payloadBytes = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
      if payloadBytes < 126 { throw .lengthNotMinimal }
    } else if short == 127 {
      headerBytes = 10
      guard count >= 10 else { return nil }
      let length = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
      if length >> 63 != 0 { throw .lengthBeyond63Bits }
      if length < 65_536 { throw .lengthNotMinimal }
      payloadBytes = Int(length)
    }
    var key: UInt32 = 0
    if isMaskExpected {
      guard count >= headerBytes + 4 else { return nil }
      key = bytes.loadUnaligned(fromByteOffset: headerBytes, as: UInt32.self)
      headerBytes += 4
    }
    return FrameHeader(first: first, headerBytes: headerBytes, payloadBytes: payloadBytes, key: key)
  }
}
