/// An event's members by the literals between their values.
extension EventScanner {
  /// Reads an event's members and its `}`; its `{` has been read.
  ///
  /// Only what is spelled as usual is taken here, and only if it is within every bound: for anything else the scanner reads the
  /// same bytes token by token, finds what is wrong with them, if anything is, and says so.
  mutating func readMembers() throws(JSONProblem) {
    var place = Place(path: PathTable.Known.event, literal: LiteralTable.start)
    var p = cursor.p
    guard isPredicting else {
      while let next = try scanMember(after: place) { place = next }
      return
    }
    // Both are read anew after the scanner, which may have added to the tables.
    var known = literals.view, marks = paths.marks
    while true {
      let start = p
      var found = known.guess(after: place.literal, p)
      if found == LiteralTable.none { found = known.find(after: place.path, place.literal, p) }
      let literal = known[found]
      if literal.pointee.isPlain ? marks.mark(literal.pointee.path) : enter(literal, marks) {
        p += Int(literal.pointee.count)
        if take(literal, &p) {
          place = Place(path: literal.pointee.path, literal: found)
          continue
        }
        cursor.p = p
        if literal.pointee.value == .end { return }
        place = try scanValue(of: found, after: place, from: start)
      } else {
        // The literal is not known, or leads to a member that is there twice.
        cursor.p = p
        guard let next = try scanMember(after: place) else { return }
        place = next
      }
      p = cursor.p
      known = literals.view
      marks = paths.marks
    }
  }

  /// Marks what a literal leads to that is not plain; false where it is there twice, or nothing.
  @inline(__always) private func enter(_ literal: UnsafePointer<LiteralTable.Literal>, _ marks: PathTable.Marks) -> Bool {
    if literal.pointee.value == .end { return literal.pointee.count > 0 }
    return marks.mark(literal.pointee.path, opened: literal.pointee.opened)
  }

  /// Takes the value at `p` that the literal leads to, and moves `p` to its end; false, with nothing taken, if it is not spelled
  /// as usual or beyond a bound.
  @inline(__always) private mutating func take(
    _ literal: UnsafePointer<LiteralTable.Literal>, _ p: inout UnsafePointer<UInt8>
  ) -> Bool {
    switch literal.pointee.value {
    case .end: return false
    case .source:
      guard let text = text(&p, min: 1, max: EventReader.attributeBytesMax) else { return false }
      tape.source = text
    case .type:
      guard let text = text(&p, min: 1, max: EventReader.attributeBytesMax) else { return false }
      tape.type = text
    case .id:
      guard let text = text(&p, min: 1, max: EventReader.attributeBytesMax) else { return false }
      tape.id = text
    case .subject:
      guard let text = text(&p, min: 1, max: EventReader.attributeBytesMax) else { return false }
      tape.subject = text
    case .time:
      guard let time = PlainText.time(&p, &day) else { return false }
      tape.time = time
      tape.hasTime = true
    case .specversion:
      guard UInt32(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt32.self)) == 0x2230_2E31 else { return false }
      p += 4
    case .sequence:
      guard let value = PlainText.unsigned(&p) else { return false }
      tape.sequence = value
      tape.hasSequence = true
    case .epoch:
      guard let value = PlainText.unsigned(&p) else { return false }
      tape.epoch = value
      tape.hasEpoch = true
    case .attributeText:
      guard tape.attributes.count < EventScanner.attributesMax,
        let text = text(&p, min: 0, max: EventReader.attributeBytesMax)
      else { return false }
      tape.attributes.append(EventTape.Leaf(path: literal.pointee.path, kind: .string, slice: text))
    case .attribute: return false
    case .text:
      // Its capacity is never above `EventReader.leavesMax`.
      guard tape.leaves.hasRoom, let text = text(&p, min: 0, max: EventReader.stringBytesMax) else { return false }
      tape.leaves.appendWithin(EventTape.Leaf(path: literal.pointee.path, kind: .string, slice: text))
      tape.pathBytes &+= Int(literal.pointee.pathBytes)
    case .number:
      guard tape.leaves.hasRoom, let number = PlainText.number(p) else { return false }
      p = number.end
      tape.leaves.appendWithin(EventTape.Leaf(path: literal.pointee.path, kind: number.kind, bits: number.bits))
      tape.pathBytes &+= Int(literal.pointee.pathBytes)
    }
    return true
  }

  /// A string without escapes, whose opening quote is before `p`, of `min` to `max` bytes.
  @inline(__always) private func text(_ p: inout UnsafePointer<UInt8>, min: Int, max: Int) -> EventTape.Slice? {
    let end = PlainText.end(of: p)
    let count = end - p
    guard end.pointee == 0x22, UInt(bitPattern: count &- min) <= UInt(max - min) else { return nil }
    let text = EventTape.Slice(start: p, count: count)
    p = end + 1
    return text
  }
}
