/// An event's members, token by token. Where one value ends, its path tells which objects are open; so this way of reading, and
/// the one by literals, can take turns after every value.
extension EventScanner {
  /// The place after a value.
  struct Place {
    /// The value's path; that of the event before its first member.
    var path: Int32
    /// The literal before the value; `LiteralTable.none` where it is not in the table.
    var literal: UInt32
  }

  /// Reads from the end of one value, which is at the cursor, to the end of the next.
  /// - Returns: The place after that value; nil at the event's end.
  @inline(never) mutating func scanMember(after place: Place) throws(JSONProblem) -> Place? {
    let start = cursor.p
    let member = try nextMember(after: place.path)
    guard member >= 0 else {
      learn(.end, PathTable.Known.event, opened: 0, after: place, from: start, end: cursor.p)
      return nil
    }
    let path = try enter(member)
    let literal = learn(path, opened: paths.depth(path) - paths.depth(member), after: place, from: start)
    try readValue(path)
    return Place(path: path, literal: literal)
  }

  /// Reads the value of a member whose literal was known, but which is not spelled in the usual way.
  /// - Parameters:
  ///   - literal: The literal; it begins at `start`, and the cursor is at its end.
  ///   - place: The place after the value before it.
  @inline(never) mutating func scanValue(
    of literal: UInt32, after place: Place, from start: UnsafePointer<UInt8>
  ) throws(JSONProblem) -> Place {
    let known = literals[literal]
    if known.value.isQuoted { cursor.p -= 1 }
    cursor.skipSpace()
    let path = try enter(known.path)
    var place = Place(path: path, literal: literal)
    if path != known.path {
      let opened = Int(known.opened) + paths.depth(path) - paths.depth(known.path)
      place.literal = learn(path, opened: opened, after: place, from: start)
    }
    try readValue(path)
    return place
  }

  private mutating func readValue(_ path: Int32) throws(JSONProblem) {
    if paths.depth(path) == 1 { try readAttribute(path) } else { try readLeaf(path) }
  }

  /// Reads to the next member's value.
  /// - Parameter path: The path of the value that ends at the cursor, or of the event, whose `{` has been read.
  /// - Returns: The member's path; -1 at the event's end, whose `}` has been read.
  private mutating func nextMember(after path: Int32) throws(JSONProblem) -> Int32 {
    cursor.skipSpace()
    if path == PathTable.Known.event { return cursor.take(0x7D) ? -1 : try member(of: path, after: -1) }
    var previous = path
    var object = paths.parent(path)
    while !cursor.take(0x2C) {
      guard cursor.take(0x7D) else { throw cursor.unexpected }
      if object == PathTable.Known.event { return -1 }
      previous = object
      object = paths.parent(object)
      cursor.skipSpace()
    }
    return try member(of: object, after: previous)
  }

  /// Reads `"name":`, and the white space around.
  /// - Parameter previous: The member before it in the object, or -1.
  private mutating func member(of object: Int32, after previous: Int32) throws(JSONProblem) -> Int32 {
    cursor.skipSpace()
    guard cursor.take(0x22) else { throw cursor.unexpected }
    let name = text(try cursor.string())
    let path = paths.path(parent: object, previous: previous, name.start, name.count)
    guard paths.mark(path) else { throw .duplicateMember }
    cursor.skipSpace()
    guard cursor.take(0x3A) else { throw cursor.unexpected }
    cursor.skipSpace()
    if object != PathTable.Known.event, paths.hasZero(path) { note(.invalidData, "a member's name in 'data' holds U+0000") }
    return path
  }

  /// Enters the objects that begin at the cursor, if it is in `data`: their members become leaves of their own.
  /// - Parameter member: The path of the value at the cursor.
  /// - Returns: The path of the first value within that is no object or an empty one; the cursor is there.
  private mutating func enter(_ member: Int32) throws(JSONProblem) -> Int32 {
    var path = member
    while cursor.p.pointee == 0x7B, path == PathTable.Known.data || paths.depth(path) > 1 {
      guard paths.depth(path) < JSONCursor.depthMax else { throw .tooDeep }
      let object = cursor.p
      cursor.p += 1
      cursor.skipSpace()
      if cursor.p.pointee == 0x7D {
        cursor.p = object
        return path
      }
      path = try self.member(of: path, after: -1)
    }
    return path
  }

  /// Reads a value of `data` that is no object with members: one leaf.
  mutating func readLeaf(_ path: Int32) throws(JSONProblem) {
    switch cursor.p.pointee {
    case 0x22:
      cursor.p += 1
      let text = text(try cursor.string())
      if text.count > EventReader.stringBytesMax {
        note(.stringTooLong, "a string in 'data' has \(text.count) bytes; the most is \(EventReader.stringBytesMax)")
      }
      append(EventTape.Leaf(path: path, kind: .string, slice: text))
    case 0x2D, 0x30...0x39:
      switch try cursor.number() {
      case .int(let value): append(EventTape.Leaf(path: path, kind: .int, bits: UInt64(bitPattern: value)))
      case .double(let value): append(EventTape.Leaf(path: path, kind: .double, bits: value.bitPattern))
      case .beyond(let start, let count):
        append(EventTape.Leaf(path: path, kind: .raw, slice: EventTape.Slice(start: start, count: count)))
      }
    case 0x7B, 0x5B:
      let start = cursor.p
      if start.pointee == 0x5B {
        try skipElements(depth: paths.depth(path))
      } else {
        cursor.p += 1
        cursor.skipSpace()
        precondition(cursor.take(0x7D), "an object with members is entered")
      }
      append(EventTape.Leaf(path: path, kind: .raw, slice: EventTape.Slice(start: start, count: cursor.p - start)))
    default:
      switch try cursor.literal() {
      case .null: append(EventTape.Leaf(path: path, kind: .null))
      case .yes: append(EventTape.Leaf(path: path, kind: .bool, bits: 1))
      case .no: append(EventTape.Leaf(path: path, kind: .bool, bits: 0))
      }
    }
  }

  private mutating func append(_ leaf: EventTape.Leaf) {
    if tape.leaves.count < EventReader.leavesMax {
      tape.leaves.append(leaf)
      tape.pathBytes &+= paths.pathBytes(leaf.path)
    } else {
      note(.tooManyMembers, "more than \(EventReader.leavesMax) values in 'data'")
    }
  }

  // MARK: remembering

  /// Remembers the literal that ends at the cursor, where the value at `path` begins.
  private mutating func learn(
    _ path: Int32, opened: Int, after place: Place, from start: UnsafePointer<UInt8>
  ) -> UInt32 {
    let isString = cursor.p.pointee == 0x22
    let value: LiteralTable.Value =
      switch path {
      case PathTable.Known.source where isString: .source
      case PathTable.Known.type where isString: .type
      case PathTable.Known.id where isString: .id
      case PathTable.Known.subject where isString: .subject
      case PathTable.Known.time where isString: .time
      case PathTable.Known.specversion where isString: .specversion
      case PathTable.Known.sequence: .sequence
      case PathTable.Known.epoch: .epoch
      case PathTable.Known.source, PathTable.Known.type, PathTable.Known.id, PathTable.Known.subject, PathTable.Known.time,
        PathTable.Known.specversion, PathTable.Known.dataBase64:
        .attribute
      case PathTable.Known.data: isString ? .text : .number
      default:
        if paths.depth(path) > 1 {
          isString ? .text : .number
        } else {
          isString && isAttributeName(path) ? .attributeText : .attribute
        }
      }
    return learn(value, path, opened: opened, after: place, from: start, end: cursor.p + (value.isQuoted ? 1 : 0))
  }

  @discardableResult private mutating func learn(
    _ value: LiteralTable.Value, _ path: Int32, opened: Int, after place: Place, from start: UnsafePointer<UInt8>,
    end: UnsafePointer<UInt8>
  ) -> UInt32 {
    // A fault in a name is noted where the name is read, and only there.
    guard isPredicting, pending == nil else { return LiteralTable.none }
    return literals.learn(
      after: place.path, place.literal, start, count: end - start,
      LiteralTable.Literal(value: value, path: path, pathBytes: paths.pathBytes(path), opened: opened),
      events: events)
  }
}
