/// A whole message or control frame.
///
/// Payloads lie in the decoder's or the scratch's storage: they are valid until the next call of `next`, and must not be kept.
/// Messages' payloads are followed by at least `WebSocketScratch.paddingBytes` zero bytes that may be read.
public enum WebSocketEvent {
  case message(WebSocketMessage)
  /// At most 125 bytes. Answer it with a pong of the same bytes.
  case ping(UnsafeRawBufferPointer)
  case pong(UnsafeRawBufferPointer)
  /// The last event.
  case close(WebSocketClose)
}

/// A data message, whole, unmasked, inflated, and valid UTF-8 if text.
public struct WebSocketMessage {
  public enum Kind: Sendable {
    case text
    case binary
  }

  public let kind: Kind
  /// Whether it came compressed; only then may an answer be compressed.
  public let wasCompressed: Bool
  /// At most `WebSocketLimits.messageBytesMax` bytes.
  public let payload: UnsafeRawBufferPointer

  @inline(__always)
  init(kind: Kind, wasCompressed: Bool, payload: UnsafeRawBufferPointer) {
    self.kind = kind
    self.wasCompressed = wasCompressed
    self.payload = payload
  }
}

/// The content of a peer's close frame.
public struct WebSocketClose: Equatable, Sendable {
  /// Nil if the frame was empty; else one that is allowed on the wire.
  public let code: WebSocketCloseCode?
  /// At most 123 bytes of UTF-8.
  public let reason: String

  public init(code: WebSocketCloseCode?, reason: String) {
    self.code = code
    self.reason = reason
  }
}
