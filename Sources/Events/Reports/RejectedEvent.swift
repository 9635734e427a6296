/// The position of a rejected event, its source and its beginning, as far as each is known.
public struct RejectedEvent: Sendable, Hashable {
  /// The bytes kept of an event.
  public static let excerptBytesMax = 256
  /// The bytes kept of a source.
  public static let sourceBytesMax = 256

  /// The number of its message, counted from 1 since the connection opened.
  public var message: Int?
  /// Its number in its message, from 0; nil where the whole message is bad.
  public var event: Int?
  /// The position of its first byte in the message.
  public var position: Int?
  /// Its first bytes, repaired to UTF-8.
  public var excerpt: String?
  /// Its source's first bytes, repaired to UTF-8.
  public var source: String?

  public init(
    message: Int? = nil, event: Int? = nil, position: Int? = nil, excerpt: String? = nil, source: String? = nil
  ) {
    self.message = message
    self.event = event
    self.position = position
    self.excerpt = excerpt
    self.source = source
  }

  /// - Parameters:
  ///   - rejected: The reader's view of it; its bytes are copied.
  ///   - message: The number of its message.
  ///   - event: Its number in the message; nil where the whole message is bad.
  public init(_ rejected: EventReader.Rejected, message: Int, event: Int?) {
    self.init(
      message: message, event: event, position: rejected.position,
      excerpt: String(decoding: rejected.bytes.prefix(RejectedEvent.excerptBytesMax), as: UTF8.self),
      source: rejected.source.map { String(decoding: $0.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self) })
  }

  /// Whether it is of a source, as far as the source was kept.
  public func isOf(source wanted: String) -> Bool {
    guard let source else { return false }
    return source.utf8.elementsEqual(String(decoding: wanted.utf8.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self).utf8)
  }
}
