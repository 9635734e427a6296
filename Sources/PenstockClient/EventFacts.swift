/// The facts that a client needs to know about an event's text: where it goes, and how to tell whether it is durable.
struct EventFacts {
  /// The range of the top-level `source` in the text, without its quotes; empty when there is none, or one written with escapes.
  var source = 0..<0
  /// FNV-1a of the unescaped source; that of the empty string when there is none.
  var sourceHash = EventFacts.hash([])
  var sequence: UInt64?
  var epoch: UInt64 = 0

  /// - Parameter text: One line.
  /// - Returns: Nil if the text is not one JSON object, whole and well formed: it must not share a message with others.
  init?(_ text: UnsafeRawBufferPointer) {
    var walker = JSONWalker(text)
    guard walker.take(0x7B) else { return nil }
    if !walker.take(0x7D) {
      repeat {
        guard let name = walker.takeString(), walker.take(0x3A) else { return nil }
        if walker.equals(name, "source"), walker.peek() == 0x22 {
          guard let value = walker.takeString() else { return nil }
          if value.hasEscapes {
            sourceHash = EventFacts.hash(walker.decode(value).utf8)
          } else {
            source = value.start..<value.end
            sourceHash = EventFacts.hash(UnsafeRawBufferPointer(rebasing: text[source]))
          }
        } else if walker.equals(name, "sequence") {
          guard let value = walker.takeUnsigned() else { return nil }
          sequence = value
        } else if walker.equals(name, "epoch") {
          guard let value = walker.takeUnsigned() else { return nil }
          if let value { epoch = value }
        } else if !walker.skipValue() {
          return nil
        }
      } while walker.take(0x2C)
      guard walker.take(0x7D) else { return nil }
    }
    guard walker.isAtEnd() else { return nil }
  }
  @inline(__always) private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash ^ hash >> 32
  }
}
