/// Scans a message's events onto a tape, one after the other: the inside of `EventReader`.
struct EventScanner: ~Copyable {
  typealias Framing = EventReader.Framing
  typealias Step = EventReader.Step

  /// Most extension attributes of an event.
  static let attributesMax = 64

  private enum State { case start, element, afterElement, lines, ended }

  var paths = PathTable()
  var tape = EventTape()
  var trace = Trace()
  /// The member names of the objects in the present event's arrays.
  var names = MemberNames()
  private var arena = GrowableBuffer<UInt8>(capacity: 4096)
  private var defaultSource = GrowableBuffer<UInt8>(capacity: 256)
  private var hasDefaultSource = false
  private var lastSource = GrowableBuffer<UInt8>(capacity: 256)
  private var lastSourceHash: UInt64 = 0
  var cursor: JSONCursor
  private var state = State.ended
  private var index = 0
  private var arrival: Int64 = 0
  private var framing = Framing.json
  /// The fault of the present event, though its JSON is sound so far; thrown when the whole event has been read.
  var pending: EventReject?
  /// The start of the event read last, or of the bytes that stand in its place.
  private var eventStart: UnsafePointer<UInt8>
  /// The end of that event if it was rejected.
  private var rejectEnd: UnsafePointer<UInt8>

  init() {
    // The arena's first bytes serve until a message begins.
    cursor = JSONCursor(UnsafePointer(arena.base), count: 0)
    eventStart = UnsafePointer(arena.base)
    rejectEnd = UnsafePointer(arena.base)
  }

  /// Changes with each reset; builders compare it, so that they never use another table's numbers.
  private(set) var pathGeneration = 0

  mutating func resetPaths() {
    paths = PathTable()
    pathGeneration += 1
  }

  mutating func begin(message: UnsafeRawBufferPointer, framing: Framing, arrival: Timestamp, defaultSource source: [UInt8]?) {
    self.framing = framing
    self.arrival = arrival.nanoseconds
    hasDefaultSource = source != nil
    if let source {
      defaultSource.removeAll()
      for byte in source { defaultSource.append(byte) }
    }
    // Unescaped text is never longer than the message, so the arena cannot move while the tape points into it.
    arena.removeAll(keepingAtMost: 1 << 20)
    arena.reserve(message.count)
    cursor = JSONCursor(message.bindMemory(to: UInt8.self).baseAddress ?? UnsafePointer(arena.base), count: message.count)
    index = 0
    state = framing == .lines ? .lines : .start
  }

  /// Reads the next event; nil at the message's end.
  mutating func next() -> Step? {
    switch state {
    case .ended: return nil
    case .start:
      cursor.skipSpace()
      if cursor.p.pointee == 0x5B, framing == .json {
        cursor.p += 1
        cursor.skipSpace()
        if cursor.take(0x5D) { return endOfMessage() }
        state = .element
        return element()
      }
      return wholeMessage()
    case .element: return element()
    case .afterElement:
      cursor.skipSpace()
      if cursor.take(0x2C) { return element() }
      if cursor.take(0x5D) { return endOfMessage() }
      state = .ended
      beginRest()
      return .reject(
        index: index, malformed(cursor.unexpected, "expected ',' or ']' after an event; what follows was not read"))
    case .lines: return line()
    }
  }

  private mutating func endOfMessage() -> Step? {
    cursor.skipSpace()
    state = .ended
    guard cursor.p == cursor.end else {
      beginRest()
      return .reject(index: index, malformed(.trailingCharacters, "what follows was not read"))
    }
    return nil
  }

  /// The bytes that follow are no event: nobody knows whose they are.
  private mutating func beginRest() {
    tape.source = nil
    eventStart = cursor.p
    rejectEnd = cursor.end
  }

  /// The event read last, as a rejected one.
  /// - Parameter isWhole: Whether it was read to its end: then only its content is wrong.
  func rejected(isWhole: Bool) -> EventReader.Rejected {
    var end = isWhole ? eventStart + tape.textBytes : rejectEnd
    while end > eventStart, end[-1] <= 0x20 { end -= 1 }
    var source = tape.source?.bytes
    if source == nil, hasDefaultSource { source = UnsafeRawBufferPointer(start: defaultSource.base, count: defaultSource.count) }
    return EventReader.Rejected(
      position: eventStart - cursor.start, bytes: UnsafeRawBufferPointer(start: eventStart, count: max(0, end - eventStart)),
      source: source)
  }

  private mutating func wholeMessage() -> Step {
    state = .ended
    beginRest()
    guard cursor.p.pointee == 0x7B else {
      let expected = framing == .json ? "a JSON object, or an array of them" : "a JSON object"
      var probe = cursor
      do throws(JSONProblem) {
        try probe.skipValue(depth: 0)
        return .reject(index: nil, EventReject(.invalidEvent, "an event is \(expected)"))
      } catch {
        return .reject(index: nil, malformed(error, "expected \(expected)", at: probe.position))
      }
    }
    do throws(EventReject) {
      try scanEvent()
      cursor.skipSpace()
      guard cursor.p == cursor.end else { throw malformed(.trailingCharacters, "send events as an array") }
      return .event(index: 0)
    } catch {
      return .reject(index: error.code == .malformedJSON ? nil : 0, error)
    }
  }

  private mutating func element() -> Step {
    state = .afterElement
    let elementStart = cursor.p
    defer { index += 1 }
    cursor.skipSpace()
    do throws(EventReject) {
      try scanEvent()
      cursor.skipSpace()
      // Checked here too: a missing comma or bracket makes this event's own end doubtful.
      guard cursor.p.pointee == 0x2C || cursor.p.pointee == 0x5D else {
        throw malformed(cursor.unexpected, "expected ',' or ']' after the event")
      }
      return .event(index: index)
    } catch {
      var reject = error
      let failedAt = cursor.p
      let isEndFound = cursor.resynchronise(after: elementStart)
      // Without an end, the bytes after it may belong to another event.
      rejectEnd = isEndFound ? cursor.p : min(failedAt + 1, cursor.end)
      if !isEndFound {
        state = .ended
        reject.detail += "; what follows in the message was not read"
        if index == 0 { return .reject(index: nil, reject) }
      }
      return .reject(index: index, reject)
    }
  }

  private mutating func line() -> Step? {
    let messageEnd = cursor.end
    while cursor.p < messageEnd {
      let lineStart = cursor.p
      var lineEnd = lineStart
      while lineEnd < messageEnd, lineEnd.pointee != 0x0A { lineEnd += 1 }
      cursor.skipSpace()
      if cursor.p > lineEnd || cursor.p == messageEnd {
        // Only white space up to the line's end.
        cursor.p = min(lineEnd + 1, messageEnd)
        continue
      }
      defer {
        cursor.p = min(lineEnd + 1, messageEnd)
        index += 1
      }
      do throws(EventReject) {
        try scanEvent()
        while cursor.p < lineEnd, cursor.p.pointee == 0x20 || cursor.p.pointee == 0x0D || cursor.p.pointee == 0x09 {
          cursor.p += 1
        }
        guard cursor.p == lineEnd else { throw malformed(.trailingCharacters, "a line holds one event") }
        return .event(index: index)
      } catch {
        rejectEnd = lineEnd
        return .reject(index: index, error)
      }
    }
    state = .ended
    return nil
  }

  // MARK: one event

  private func malformed(_ problem: JSONProblem, _ hint: String? = nil, at position: Int? = nil) -> EventReject {
    let code: RejectCode =
      switch problem {
      case .tooDeep: .tooDeep
      case .numberOutOfRange: .numberOutOfRange
      case .loneSurrogate: .invalidString
      case .duplicateMember: .duplicateMember
      case .unexpectedEnd, .unexpectedCharacter, .controlCharacter, .badEscape, .badNumber, .trailingCharacters, .notUTF8:
        .malformedJSON
      }
    return EventReject(
      code, "\(problem.text) at byte \(position ?? cursor.position)" + (hint.map { "; \($0)" } ?? ""))
  }

  private mutating func scanEvent() throws(EventReject) {
    eventStart = cursor.p
    tape.reset(arrival: arrival)
    pending = nil
    arena.removeAll()
    paths.beginEvent()
    names.removeAll()
    guard cursor.take(0x7B) else {
      let problem = cursor.unexpected
      do throws(JSONProblem) { try cursor.skipValue(depth: 1) } catch { throw malformed(error) }
      throw problem == .unexpectedEnd ? malformed(problem) : EventReject(.invalidEvent, "an event is a JSON object")
    }
    var hasDataBase64 = false
    do throws(JSONProblem) {
      cursor.skipSpace()
      if !cursor.take(0x7D) {
        var previous: Int32 = -1
        repeat {
          let path = try member(parent: PathTable.Known.event, previous: previous)
          previous = path
          try readAttribute(path, hasDataBase64: &hasDataBase64)
          cursor.skipSpace()
        } while cursor.take(0x2C)
        guard cursor.take(0x7D) else { throw cursor.unexpected }
      }
    } catch {
      throw malformed(error)
    }
    if tape.pathBytes > EventReader.pathBytesMax {
      note(
        .tooManyMembers,
        "the names of the values in 'data', each from 'data' on, have over \(EventReader.pathBytesMax) bytes: use shorter names")
    }
    if let pending { throw pending }
    tape.textBytes = cursor.p - eventStart
    try checkRequired(hasDataBase64: hasDataBase64)
  }

  private mutating func checkRequired(hasDataBase64: Bool) throws(EventReject) {
    if tape.source == nil {
      guard hasDefaultSource else {
        throw EventReject(.missingSource, "'source' is missing, and the connection names none with ?source=")
      }
      tape.source = EventTape.Slice(start: UnsafePointer(defaultSource.base), count: defaultSource.count)
    }
    guard tape.type != nil else { throw EventReject(.missingType, "'type' is missing") }
    if hasDataBase64, tape.leaves.count > 0 {
      throw EventReject(.invalidData, "'data' and 'data_base64' are both there; send one of them")
    }
    hashSource()
  }

  private mutating func hashSource() {
    guard let source = tape.source else { return }
    if source.count == lastSource.count, equalPadded(source.start, lastSource.base, source.count) {
      tape.sourceHash = lastSourceHash
      return
    }
    lastSource.removeAll()
    lastSource.append(source.start, count: source.count)
    lastSourceHash = stableHash(source.bytes)
    tape.sourceHash = lastSourceHash
  }

  /// Reads `"name":` and gives the path's number.
  @inline(__always) private mutating func member(parent: Int32, previous: Int32) throws(JSONProblem) -> Int32 {
    cursor.skipSpace()
    guard cursor.take(0x22) else { throw cursor.unexpected }
    let name = text(try cursor.string())
    let path = paths.path(parent: parent, previous: previous, name.start, name.count)
    guard paths.mark(path) else { throw .duplicateMember }
    cursor.skipSpace()
    guard cursor.take(0x3A) else { throw cursor.unexpected }
    cursor.skipSpace()
    return path
  }

  @inline(__always) mutating func text(_ token: JSONCursor.StringToken) -> EventTape.Slice {
    token.isEscaped ? unescaped(token) : EventTape.Slice(start: token.start, count: token.count)
  }

  @inline(never) private mutating func unescaped(_ token: JSONCursor.StringToken) -> EventTape.Slice {
    // `begin` made room for the whole message, so the arena stays where it is.
    precondition(arena.count + token.count <= arena.capacity)
    let start = arena.base + arena.count
    let count = JSONCursor.unescape(token, into: start)
    arena.setCount(arena.count + count)
    return EventTape.Slice(start: UnsafePointer(start), count: count)
  }

  /// Reads a value of `data`: an object's members become leaves of their own, everything else one leaf.
  mutating func readData(_ path: Int32, depth: Int) throws(JSONProblem) {
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
    case 0x7B:
      guard depth < JSONCursor.depthMax else { throw .tooDeep }
      let objectStart = cursor.p
      cursor.p += 1
      cursor.skipSpace()
      if cursor.take(0x7D) {
        append(EventTape.Leaf(path: path, kind: .raw, slice: EventTape.Slice(start: objectStart, count: cursor.p - objectStart)))
        return
      }
      var previous: Int32 = -1
      repeat {
        let child = try member(parent: path, previous: previous)
        previous = child
        if paths.hasZero(child) { note(.invalidData, "a member's name in 'data' holds U+0000") }
        try readData(child, depth: depth + 1)
        cursor.skipSpace()
      } while cursor.take(0x2C)
      guard cursor.take(0x7D) else { throw cursor.unexpected }
    case 0x5B:
      let start = cursor.p
      try skipElements(depth: depth)
      append(EventTape.Leaf(path: path, kind: .raw, slice: EventTape.Slice(start: start, count: cursor.p - start)))
    default:
      switch try cursor.literal() {
      case .null: append(EventTape.Leaf(path: path, kind: .null))
      case .yes: append(EventTape.Leaf(path: path, kind: .bool, bits: 1))
      case .no: append(EventTape.Leaf(path: path, kind: .bool, bits: 0))
      }
    }
  }

  @inline(__always) private mutating func append(_ leaf: EventTape.Leaf) {
    if tape.leaves.count < EventReader.leavesMax {
      tape.leaves.append(leaf)
      tape.pathBytes &+= paths.pathBytes(leaf.path)
    } else {
      note(.tooManyMembers, "more than \(EventReader.leavesMax) values in 'data'")
    }
  }
}
