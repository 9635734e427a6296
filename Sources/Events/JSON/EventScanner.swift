/// Scans a message's events onto a tape, one after the other: the inside of `EventReader`.
struct EventScanner: ~Copyable {
  typealias Framing = EventReader.Framing
  typealias Step = EventReader.Step

  /// Most extension attributes of an event.
  static let attributesMax = 64

  private enum State { case start, afterElement, lines, ended }

  var paths = PathTable()
  var tape = EventTape()
  var trace = Trace()
  /// The member names of the objects in the present event's arrays.
  var names = MemberNames()
  private var arena = GrowableBuffer<UInt8>(capacity: 4096)
  private var defaultSource = GrowableBuffer<UInt8>(capacity: 256)
  private var hasDefaultSource = false
  private var sources = SourceHashes()
  /// The texts between values that were met before; followed only if `isPredicting`.
  var literals = LiteralTable()
  let isPredicting: Bool
  /// The date of the last time.
  var day = PlainText.Day()
  var cursor: JSONCursor
  private var state = State.ended
  private var index = 0
  private var arrival: Int64 = 0
  private var framing = Framing.json
  /// The reason why the last rejected event was.
  private var fault = EventReject(.invalidEvent, "")
  /// The fault of the present event, though its JSON is sound so far; it counts when the whole event has been read.
  var pending: EventReject?
  /// Whether the present event has `data_base64`.
  var hasDataBase64 = false
  /// The number of events begun.
  var events = 0
  /// The start of the event read last, or of the bytes that stand in its place.
  private var eventStart: UnsafePointer<UInt8>
  /// The end of that event if it was rejected.
  private var rejectEnd: UnsafePointer<UInt8>

  init(isPredicting: Bool) {
    self.isPredicting = isPredicting
    // The arena's first bytes serve until a message begins.
    cursor = JSONCursor(UnsafePointer(arena.base), count: 0)
    eventStart = UnsafePointer(arena.base)
    rejectEnd = UnsafePointer(arena.base)
  }

  /// Changes with each reset; builders compare it, so that they never use another table's numbers.
  private(set) var pathGeneration = 0

  mutating func resetPaths() {
    paths = PathTable()
    literals = LiteralTable()
    if trace.parentPath >= 0 { nameTrace() }
    pathGeneration += 1
  }

  mutating func begin(message: UnsafeRawBufferPointer, framing: Framing, arrival: Timestamp, defaultSource source: [UInt8]?) {
    self.framing = framing
    self.arrival = arrival.nanoseconds
    hasDefaultSource = source != nil
    source?.withUnsafeBufferPointer { bytes in
      defaultSource.removeAll()
      if let base = bytes.baseAddress { defaultSource.append(base, count: bytes.count) }
    }
    // Unescaped text is never longer than the message, so the arena cannot move while the tape points into it.
    arena.removeAll(keepingAtMost: 1 << 20)
    arena.reserve(message.count)
    cursor = JSONCursor(message.bindMemory(to: UInt8.self).baseAddress ?? UnsafePointer(arena.base), count: message.count)
    index = 0
    state = framing == .lines ? .lines : .start
  }

  /// Reads the next event; nil at the message's end.
  @inline(__always) mutating func next() -> Step? {
    switch state {
    case .ended: return nil
    case .start:
      cursor.skipSpace()
      if cursor.p.pointee == 0x5B, framing == .json {
        cursor.p += 1
        cursor.skipSpace()
        if cursor.take(0x5D) { return endOfMessage() }
        return element()
      }
      return wholeMessage()
    case .afterElement:
      cursor.skipSpace()
      if cursor.take(0x2C) { return element() }
      return endOfArray()
    case .lines: return line()
    }
  }

  @inline(never) private mutating func endOfArray() -> Step? {
    if cursor.take(0x5D) { return endOfMessage() }
    state = .ended
    beginRest()
    return .reject(
      index: index, malformed(cursor.unexpected, "expected ',' or ']' after an event; what follows was not read"))
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

  @inline(__always) private mutating func wholeMessage() -> Step {
    state = .ended
    guard cursor.p.pointee == 0x7B else { return rejectNoEvent() }
    if scanEvent() {
      cursor.skipSpace()
      if cursor.p == cursor.end { return .event(index: 0) }
      fault = malformed(.trailingCharacters, "send events as an array")
    }
    rejectEnd = cursor.end
    return .reject(index: fault.code == .malformedJSON ? nil : 0, fault)
  }

  @inline(never) private mutating func rejectNoEvent() -> Step {
    beginRest()
    let expected = framing == .json ? "a JSON object, or an array of them" : "a JSON object"
    var probe = cursor
    do throws(JSONProblem) {
      try probe.skipValue(depth: 0)
      return .reject(index: nil, EventReject(.invalidEvent, "an event is \(expected)"))
    } catch {
      return .reject(index: nil, malformed(error, "expected \(expected)", at: probe.position))
    }
  }

  @inline(__always) private mutating func element() -> Step {
    state = .afterElement
    let number = index, start = cursor.p
    index &+= 1
    cursor.skipSpace()
    if scanEvent() {
      cursor.skipSpace()
      // Checked here too: a missing comma or bracket makes this event's own end doubtful.
      if cursor.p.pointee == 0x2C || cursor.p.pointee == 0x5D { return .event(index: number) }
      fault = malformed(cursor.unexpected, "expected ',' or ']' after the event")
    }
    return rejectElement(number, from: start)
  }

  @inline(never) private mutating func rejectElement(_ number: Int, from start: UnsafePointer<UInt8>) -> Step {
    var reject = fault
    let failedAt = cursor.p
    let isEndFound = cursor.resynchronise(after: start)
    // Without an end, the bytes after it may belong to another event.
    rejectEnd = isEndFound ? cursor.p : min(failedAt + 1, cursor.end)
    if !isEndFound {
      state = .ended
      reject.detail += "; what follows in the message was not read"
      if number == 0 { return .reject(index: nil, reject) }
    }
    return .reject(index: number, reject)
  }

  @inline(never) private mutating func line() -> Step? {
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
      if scanEvent() {
        while cursor.p < lineEnd, cursor.p.pointee == 0x20 || cursor.p.pointee == 0x0D || cursor.p.pointee == 0x09 {
          cursor.p += 1
        }
        if cursor.p == lineEnd { return .event(index: index) }
        fault = malformed(.trailingCharacters, "a line holds one event")
      }
      rejectEnd = lineEnd
      return .reject(index: index, fault)
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

  /// Reads an event onto the tape.
  /// - Returns: False where it is rejected, with the reason in `fault`.
  private mutating func scanEvent() -> Bool {
    eventStart = cursor.p
    tape.reset(arrival: arrival)
    if pending != nil { pending = nil }
    arena.removeAll()
    paths.beginEvent()
    names.removeAll()
    hasDataBase64 = false
    events &+= 1
    guard cursor.take(0x7B) else { return failNoObject() }
    do throws(JSONProblem) { try readMembers() } catch { return fail(malformed(error)) }
    // Its length is known as soon as its text has been read; a faulty event keeps the one before.
    guard pending == nil, tape.pathBytes <= EventReader.pathBytesMax else { return failPending() }
    tape.textBytes = cursor.p - eventStart
    guard let source = tape.source, tape.type != nil, !hasDataBase64 else { return completeEvent() }
    tape.sourceHashes = sources.hashes(of: source.start, source.count)
    return true
  }

  @inline(never) private mutating func fail(_ reject: EventReject) -> Bool {
    fault = reject
    return false
  }

  @inline(never) private mutating func failNoObject() -> Bool {
    let problem = cursor.unexpected
    do throws(JSONProblem) { try cursor.skipValue(depth: 1) } catch { return fail(malformed(error)) }
    return fail(problem == .unexpectedEnd ? malformed(problem) : EventReject(.invalidEvent, "an event is a JSON object"))
  }

  @inline(never) private mutating func failPending() -> Bool {
    note(
      .tooManyMembers,
      "the names of the values in 'data', each from 'data' on, have over \(EventReader.pathBytesMax) bytes: use shorter names")
    return pending.map { fail($0) } ?? false
  }

  /// Checks an event that lacks something, or has `data_base64`.
  @inline(never) private mutating func completeEvent() -> Bool {
    if tape.source == nil, hasDefaultSource {
      tape.source = EventTape.Slice(start: UnsafePointer(defaultSource.base), count: defaultSource.count)
    }
    guard let source = tape.source else {
      return fail(EventReject(.missingSource, "'source' is missing, and the connection names none with ?source="))
    }
    guard tape.type != nil else { return fail(EventReject(.missingType, "'type' is missing")) }
    if hasDataBase64, tape.leaves.count > 0 {
      return fail(EventReject(.invalidData, "'data' and 'data_base64' are both there; send one of them"))
    }
    tape.sourceHashes = sources.hashes(of: source.start, source.count)
    return true
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
}
