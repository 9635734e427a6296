/// A peer's violation of the protocol, or a message that we refuse to carry. It ends the connection: send a close frame
/// with `closeCode`, read no more frames.
public enum WebSocketViolation: Error, Equatable, Sendable, CaseIterable {
  /// A reserved bit is set that no extension gave a meaning; also RSV1 on a control frame or a continuation.
  case reservedBit
  case reservedOpcode
  /// A client's frame without a mask.
  case maskMissing
  /// A server's frame with a mask.
  case maskPresent
  case controlFrameFragmented
  /// A control frame of more than 125 bytes.
  case controlFrameTooLong
  case continuationWithoutStart
  case messageInsideMessage
  /// A length of 16 or 64 bits where a shorter one would do.
  case lengthNotMinimal
  /// The topmost bit of a 64-bit length is set.
  case lengthBeyond63Bits
  /// A close frame of one byte.
  case closeCodeCut
  case closeCodeInvalid
  case closeReasonNotUTF8
  case textNotUTF8
  /// Compressed data that inflate rejects.
  case deflateCorrupt
  case messageTooBig
  case tooManyFragments
  /// zlib had no memory.
  case inflateUnavailable

  public var closeCode: WebSocketCloseCode {
    switch self {
    case .reservedBit, .reservedOpcode, .maskMissing, .maskPresent, .controlFrameFragmented, .controlFrameTooLong,
      .continuationWithoutStart, .messageInsideMessage, .lengthNotMinimal, .lengthBeyond63Bits, .closeCodeCut,
      .closeCodeInvalid:
      .protocolError
    case .closeReasonNotUTF8, .textNotUTF8, .deflateCorrupt: .invalidPayload
    case .messageTooBig, .tooManyFragments: .messageTooBig
    case .inflateUnavailable: .internalError
    }
  }
}

extension WebSocketViolation: CustomStringConvertible {
  /// Fits a close frame's reason: ASCII, under 124 bytes.
  public var description: String {
    switch self {
    case .reservedBit: "reserved bit set"
    case .reservedOpcode: "reserved opcode"
    case .maskMissing: "client frame without a mask"
    case .maskPresent: "server frame with a mask"
    case .controlFrameFragmented: "fragmented control frame"
    case .controlFrameTooLong: "control frame over 125 bytes"
    case .continuationWithoutStart: "continuation of no message"
    case .messageInsideMessage: "new message inside a fragmented one"
    case .lengthNotMinimal: "length not in its shortest form"
    case .lengthBeyond63Bits: "length beyond 63 bits"
    case .closeCodeCut: "close frame of one byte"
    case .closeCodeInvalid: "close code not allowed"
    case .closeReasonNotUTF8: "close reason not UTF-8"
    case .textNotUTF8: "text not UTF-8"
    case .deflateCorrupt: "compressed data corrupt"
    case .messageTooBig: "message too big"
    case .tooManyFragments: "too many fragments"
    case .inflateUnavailable: "no memory to inflate"
    }
  }
}
