import NIOCore

extension ByteBuffer {
  /// Appends one frame.
  ///
  /// - Parameters:
  ///   - payload: Copied, and masked on the way if there is a key. At most 125 bytes in a control frame.
  ///   - isFinal: False for all but the last frame of a fragmented message.
  ///   - isCompressed: Sets RSV1: on the first frame of a message that was deflated.
  ///   - maskKey: A client's key: unpredictable, and another for each frame (`WebSocketMaskKeys`). Nil for a server.
  public mutating func writeWebSocketFrame(
    _ opcode: WebSocketOpcode, _ payload: UnsafeRawBufferPointer, isFinal: Bool = true, isCompressed: Bool = false,
    maskKey: UInt32? = nil
  ) {
    let count = payload.count
    precondition(opcode.rawValue < 8 || (count <= 125 && isFinal && !isCompressed), "a control frame is short and whole")
    let first = opcode.rawValue | (isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0)
    let maskBit: UInt8 = maskKey == nil ? 0 : 0x80
    writeWithUnsafeMutableBytes(minimumWritableBytes: count + FrameHeader.bytesMax) { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      base.storeBytes(of: first, as: UInt8.self)
      var at: Int
      if count < 126 {
        base.storeBytes(of: maskBit | UInt8(count), toByteOffset: 1, as: UInt8.self)
        at = 2
      } else if count < 65_536 {
        base.storeBytes(of: maskBit | 126, toByteOffset: 1, as: UInt8.self)
        base.storeBytes(of: UInt16(count).bigEndian, toByteOffset: 2, as: UInt16.self)
        at = 4
      } else {
        base.storeBytes(of: maskBit | 127, toByteOffset: 1, as: UInt8.self)
        base.storeBytes(of: UInt64(count).bigEndian, toByteOffset: 2, as: UInt64.self)
        at = 10
      }
      if let maskKey {
        base.storeBytes(of: maskKey, toByteOffset: at, as: UInt32.self)
        at += 4
      }
      if count > 0, let source = payload.baseAddress {
        if let maskKey {
          _ = copyMasked(from: source, to: base + at, count: count, key: maskKey)
        } else {
          (base + at).copyMemory(from: source, byteCount: count)
        }
      }
      return at + count
    }
  }

  /// Appends one frame with a buffer's readable bytes.
  public mutating func writeWebSocketFrame(
    _ opcode: WebSocketOpcode, _ payload: ByteBuffer, isFinal: Bool = true, maskKey: UInt32? = nil
  ) {
    payload.withUnsafeReadableBytes { writeWebSocketFrame(opcode, $0, isFinal: isFinal, maskKey: maskKey) }
  }

  /// Appends a close frame.
  ///
  /// - Parameters:
  ///   - code: Nil gives an empty frame; any other code must be allowed on the wire.
  ///   - reason: Cut to what fits, 123 bytes, between two characters. Not sent without a code.
  public mutating func writeWebSocketClose(_ code: WebSocketCloseCode?, reason: String = "", maskKey: UInt32? = nil) {
    guard let code else {
      writeWebSocketFrame(.close, UnsafeRawBufferPointer(start: nil, count: 0), maskKey: maskKey)
      return
    }
    precondition(code.isAllowedOnWire, "close code \(code) may not be sent")
    var payload = [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xFF)]
    for scalar in reason.unicodeScalars {
      let encoded = UTF8.encode(scalar)
      guard let encoded, payload.count + encoded.count <= 125 else { break }
      payload.append(contentsOf: encoded)
    }
    payload.withUnsafeBytes { writeWebSocketFrame(.close, $0, maskKey: maskKey) }
  }
}
