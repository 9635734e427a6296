/// What a client needs to know of an event's text: where it goes, and what tells whether it is durable.
struct EventFacts {
  /// Where the value of the top-level `source` lies in the text, without its quotes; empty when there is none, or one written with escapes.
  var source = 0..<0
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
          if !value.hasEscapes { source = value.start..<value.end }
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
}
