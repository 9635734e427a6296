import NIOCore

/// Turns received bytes into messages and control frames (RFC 6455, with permessage-deflate of RFC 7692). A state machine:
/// it does no input or output, and knows no channel.
///
/// ```swift
/// while let event = try decoder.next(&received, scratch) { … }
/// ```
/// takes one event after the other out of the bytes of a read. Nil means that all bytes were taken and more are needed. To
/// pause, stop calling and keep `received`: what is in it is all that is held back.
///
/// A payload that comes whole is unmasked while it is copied to the scratch (the channel's read buffers are shared and must
/// not be written). One that comes in pieces is unmasked, inflated and checked piece by piece into a buffer borrowed from the
/// scratch. So between two messages a connection costs this struct, and zlib's state if its peer compresses.
///
/// After `.close` or an error there is nothing more to decode: further bytes are dropped and `next` gives nil.
public struct WebSocketFrameDecoder: ~Copyable {
  private enum State {
    /// Between frames, or inside a header whose beginning is in `held`.
    case header
    /// Inside the payload of a data frame.
    case data
    /// Inside a control frame, whose payload so far is in `held`.
    case control
    case ended
  }

  private let limits: WebSocketLimits
  private let isMaskExpected: Bool
  private let isDeflateAgreed: Bool

  private var state = State.header

  // The beginning of a header, or of a control frame's payload, until the rest comes: 128 bytes, made when first needed.
  private var held = HeldBytes()

  // The frame that is being read.
  private var frame = FrameHeader(first: 0, headerBytes: 0, payloadBytes: 0, key: 0)
  private var frameBytesLeft = 0

  // The message that is being read; `fragments` is 0 outside of one.
  private var kind = WebSocketMessage.Kind.text
  private var isCompressed = false
  private var fragments = 0
  private var wireBytes = 0
  private var utf8 = UTF8Validator()
  private var buffer = MessageBuffer()
  /// `buffer` was handed out, and goes back at the next call.
  private var isHandedOut = false

  private var inflater: Inflater

  /// - Parameters:
  ///   - role: Which end we are. A server accepts masked frames only, a client unmasked ones only.
  ///   - limits: The bounds of messages and their fragments.
  ///   - deflate: The parameters that the handshake agreed on; nil for no compression.
  public init(role: WebSocketRole, limits: WebSocketLimits, deflate: WebSocketDeflateParameters? = nil) {
    self.limits = limits
    isMaskExpected = role == .server
    isDeflateAgreed = deflate != nil
    let peer: WebSocketRole = role == .server ? .client : .server
    inflater = Inflater(
      windowBits: deflate?.windowBits(sentBy: peer) ?? 15, resets: deflate?.resets(sentBy: peer) ?? false)
  }

  /// Whether a close frame came or an error was thrown.
  public var isEnded: Bool { state == .ended }

  /// Whether a message has begun and not ended: the end of the connection now would cut it.
  public var isInsideMessage: Bool { fragments > 0 || state == .data }

  // For tests: what an idle connection costs.
  var messageStorageBytes: Int { buffer.capacity }

  /// Takes the next event out of `received`, moving its reader index past the bytes used.
  public mutating func next(
    _ received: inout ByteBuffer, _ scratch: WebSocketScratch
  ) throws(WebSocketViolation) -> WebSocketEvent? {
    var event: WebSocketEvent?
    var violation: WebSocketViolation?
    let used = received.withUnsafeReadableBytes { bytes in
      var rest = bytes
      do throws(WebSocketViolation) {
        event = try next(&rest, scratch)
      } catch {
        violation = error
      }
      return bytes.count - rest.count
    }
    received.moveReaderIndex(forwardBy: used)
    if let violation { throw violation }
    return event
  }

  /// Takes the next event out of `bytes`, cutting those used off its front.
  public mutating func next(
    _ bytes: inout UnsafeRawBufferPointer, _ scratch: WebSocketScratch
  ) throws(WebSocketViolation) -> WebSocketEvent? {
    if isHandedOut {
      isHandedOut = false
      scratch.takeBack(from: &buffer)
    }
    // The path of nearly all frames: a whole data message in one frame, in this read, not compressed.
    if state == .header && held.isEmpty && fragments == 0, let base = bytes.baseAddress {
      let header: FrameHeader?
      do throws(WebSocketViolation) {
        header = try FrameHeader.parse(base, count: bytes.count, isMaskExpected: isMaskExpected)
      } catch {
        throw end(error, &bytes)
      }
      if let header, header.first == 0x81 || header.first == 0x82,
        header.payloadBytes <= bytes.count &- header.headerBytes
      {
        let payloadBytes = header.payloadBytes
        if payloadBytes > limits.messageBytesMax { throw end(.messageTooBig, &bytes) }
        scratch.reserve(payloadBytes)
        let payload = scratch.base
        let seen = copyMasked(from: base + header.headerBytes, to: payload, count: payloadBytes, key: header.key)
        zeroPadding(at: payload + payloadBytes)
        let message = UnsafeRawBufferPointer(start: payload, count: payloadBytes)
        if header.first == 0x81 && seen & nonASCIIBits != 0 && !UTF8Validator.isValid(message) {
          throw end(.textNotUTF8, &bytes)
        }
        bytes = UnsafeRawBufferPointer(rebasing: bytes[(header.headerBytes &+ payloadBytes)...])
        return .message(
          WebSocketMessage(kind: header.first == 0x81 ? .text : .binary, wasCompressed: false, payload: message))
      }
    }
    do throws(WebSocketViolation) {
      return try nextInPieces(&bytes, scratch)
    } catch {
      throw end(error, &bytes)
    }
  }

  // MARK: - Pieces

  @inline(never)
  private mutating func nextInPieces(
    _ bytes: inout UnsafeRawBufferPointer, _ scratch: WebSocketScratch
  ) throws(WebSocketViolation) -> WebSocketEvent? {
    while true {
      switch state {
      case .header:
        guard try takeHeader(&bytes) else { return nil }
        if frame.isControl {
          state = .control
        } else {
          try beginData(scratch)
          state = .data
        }
      case .data:
        guard try takeData(&bytes, scratch) else { return nil }
        state = .header
        if frame.isFinal { return try finishMessage() }
      case .control:
        guard let payload = takeControl(&bytes, scratch) else { return nil }
        state = .header
        held.clear()
        return try controlEvent(payload)
      case .ended:
        bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        return nil
      }
    }
  }

  /// - Returns: Whether `frame` is there. If not, all bytes are held.
  private mutating func takeHeader(_ bytes: inout UnsafeRawBufferPointer) throws(WebSocketViolation) -> Bool {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return false }
    if held.isEmpty {
      if let header = try FrameHeader.parse(base, count: bytes.count, isMaskExpected: isMaskExpected) {
        begin(header)
        drop(header.headerBytes, &bytes)
        return true
      }
    }
    // A header is at most 14 bytes, so what is held plus what is needed is too.
    let before = held.count
    let taken = held.append(bytes, upTo: FrameHeader.bytesMax)
    let header = try FrameHeader.parse(held.base, count: held.count, isMaskExpected: isMaskExpected)
    guard let header else {
      drop(taken, &bytes)
      return false
    }
    drop(header.headerBytes - before, &bytes)
    held.clear()
    begin(header)
    return true
  }

  private mutating func begin(_ header: FrameHeader) {
    frame = header
    frameBytesLeft = header.payloadBytes
  }

  /// Checks a data frame's header against the message it belongs to.
  private mutating func beginData(_ scratch: WebSocketScratch) throws(WebSocketViolation) {
    if frame.opcode == WebSocketOpcode.continuation.rawValue {
      if fragments == 0 { throw .continuationWithoutStart }
      if frame.isCompressed { throw .reservedBit }
    } else {
      if frame.isCompressed && !isDeflateAgreed { throw .reservedBit }
      if fragments > 0 { throw .messageInsideMessage }
      kind = frame.opcode == WebSocketOpcode.text.rawValue ? .text : .binary
      isCompressed = frame.isCompressed
      wireBytes = 0
      utf8.reset()
    }
    fragments += 1
    if !frame.isFinal && fragments > limits.fragmentsMax { throw .tooManyFragments }
    let wireBytesMax = isCompressed ? limits.compressedBytesMax : limits.messageBytesMax
    if frame.payloadBytes > wireBytesMax - wireBytes { throw .messageTooBig }
    wireBytes += frame.payloadBytes
    if !buffer.hasStorage { scratch.lend(to: &buffer) }
  }

  /// - Returns: Whether the frame's payload is complete.
  private mutating func takeData(
    _ bytes: inout UnsafeRawBufferPointer, _ scratch: WebSocketScratch
  ) throws(WebSocketViolation) -> Bool {
    let count = min(bytes.count, frameBytesLeft)
    guard count > 0, let base = bytes.baseAddress else { return frameBytesLeft == 0 }
    let before = buffer.count
    var seen: UInt64
    if isCompressed {
      scratch.reserve(count)
      _ = copyMasked(from: base, to: scratch.base, count: count, key: frame.key)
      try inflater.inflate(
        UnsafeRawBufferPointer(start: scratch.base, count: count), into: &buffer, bytesMax: limits.messageBytesMax)
      seen = nonASCIIBits
    } else {
      buffer.reserve(count, bytesMax: limits.messageBytesMax)
      seen = copyMasked(from: base, to: buffer.end, count: count, key: frame.key)
      buffer.grew(by: count)
    }
    drop(count, &bytes)
    frameBytesLeft -= count
    frame.key = rotated(frame.key, by: count)
    if kind == .text && (seen & nonASCIIBits != 0 || !utf8.isComplete) { try checkText(from: before) }
    return frameBytesLeft == 0
  }

  private mutating func checkText(from start: Int) throws(WebSocketViolation) {
    let piece = UnsafeRawBufferPointer(rebasing: buffer.bytes[start...])
    if !utf8.accepts(piece) { throw .textNotUTF8 }
  }

  private mutating func finishMessage() throws(WebSocketViolation) -> WebSocketEvent {
    if isCompressed {
      let before = buffer.count
      try inflater.finish(into: &buffer, bytesMax: limits.messageBytesMax)
      if kind == .text { try checkText(from: before) }
    }
    if kind == .text && !utf8.isComplete { throw .textNotUTF8 }
    fragments = 0
    isHandedOut = true
    return .message(WebSocketMessage(kind: kind, wasCompressed: isCompressed, payload: buffer.padded()))
  }

  // MARK: - Control frames

  /// - Returns: The payload, unmasked, if it is complete.
  private mutating func takeControl(
    _ bytes: inout UnsafeRawBufferPointer, _ scratch: WebSocketScratch
  ) -> UnsafeRawBufferPointer? {
    let payloadBytes = frame.payloadBytes
    if !held.isEmpty || bytes.count < payloadBytes {
      let taken = held.append(bytes, upTo: payloadBytes)
      drop(taken, &bytes)
      guard held.count == payloadBytes else { return nil }
      _ = copyMasked(from: held.base, to: scratch.base, count: payloadBytes, key: frame.key)
    } else if let base = bytes.baseAddress {
      _ = copyMasked(from: base, to: scratch.base, count: payloadBytes, key: frame.key)
      drop(payloadBytes, &bytes)
    }
    return UnsafeRawBufferPointer(start: scratch.base, count: payloadBytes)
  }

  private mutating func controlEvent(_ payload: UnsafeRawBufferPointer) throws(WebSocketViolation) -> WebSocketEvent {
    switch frame.opcode {
    case WebSocketOpcode.ping.rawValue: return .ping(payload)
    case WebSocketOpcode.pong.rawValue: return .pong(payload)
    default: break
    }
    state = .ended
    buffer = MessageBuffer()
    inflater.free()
    if payload.count == 0 { return .close(WebSocketClose(code: nil, reason: "")) }
    if payload.count == 1 { throw .closeCodeCut }
    let code = WebSocketCloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
    guard code.isAllowedOnWire else { throw .closeCodeInvalid }
    let reason = UnsafeRawBufferPointer(rebasing: payload[2...])
    guard UTF8Validator.isValid(reason) else { throw .closeReasonNotUTF8 }
    return .close(WebSocketClose(code: code, reason: String(decoding: reason, as: UTF8.self)))
  }

  // MARK: - Ends

  /// Frees the held bytes: an ended connection may linger.
  @inline(never)
  private mutating func end(_ violation: WebSocketViolation, _ bytes: inout UnsafeRawBufferPointer) -> WebSocketViolation {
    state = .ended
    held.clear()
    buffer = MessageBuffer()
    inflater.free()
    bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    return violation
  }

  private func drop(_ count: Int, _ bytes: inout UnsafeRawBufferPointer) {
    bytes = UnsafeRawBufferPointer(rebasing: bytes[count...])
  }
}

/// Up to 128 bytes waiting for the rest of what they begin. Holds memory only while there are any.
private struct HeldBytes: ~Copyable {
  private var storage: UnsafeMutableRawPointer?
  private(set) var count = 0

  deinit { storage?.deallocate() }

  var isEmpty: Bool { count == 0 }

  mutating func clear() {
    storage?.deallocate()
    storage = nil
    count = 0
  }

  /// To be called only while not empty.
  var base: UnsafeRawPointer {
    guard let storage else { preconditionFailure("nothing is held") }
    return UnsafeRawPointer(storage)
  }

  /// - Returns: How many of `bytes` were taken so that there are at most `bytesMax` in all.
  mutating func append(_ bytes: UnsafeRawBufferPointer, upTo bytesMax: Int) -> Int {
    assert(bytesMax <= 128)
    let taken = min(bytes.count, bytesMax - count)
    if taken > 0, let base = bytes.baseAddress {
      let storage = self.storage ?? .allocate(byteCount: 128, alignment: 8)
      self.storage = storage
      (storage + count).copyMemory(from: base, byteCount: taken)
      count += taken
    }
    return taken
  }
}
