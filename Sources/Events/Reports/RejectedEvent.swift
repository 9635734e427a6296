/// Where an event stood that was not taken, whose it is, and how it begins: as far as each is known.
public struct RejectedEvent: Sendable, Hashable {
  /// Bytes kept of an event.
  public static let excerptBytesMax = 256
  /// Bytes kept of a source.
  public static let sourceBytesMax = 256

  /// The number of its message, counted from 1 since the connection opened.
  public var message: Int?
  /// Its number in its message, from 0; nil where that is bad as a whole.
  public var event: Int?
  /// Where it begins, in bytes from the message's start.
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
  ///   - rejected: As the reader has it; its bytes are copied.
  ///   - message: The number of its message.
  ///   - event: Its number in that; nil where that is bad as a whole.
  public init(_ rejected: EventReader.Rejected, message: Int, event: Int?) {
    self.init(
      message: message, event: event, position: rejected.position,
      excerpt: String(decoding: rejected.bytes.prefix(RejectedEvent.excerptBytesMax), as: UTF8.self),
      source: rejected.source.map { String(decoding: $0.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self) })
  }

  /// Whether it is of a source, as far as that was kept.
  public func isOf(source wanted: String) -> Bool {
    guard let source else { return false }
    return source.utf8.elementsEqual(String(decoding: wanted.utf8.prefix(RejectedEvent.sourceBytesMax), as: UTF8.self).utf8)
  }
}
