/// Events on their way in one WebSocket message, each with the caller's line number.
public struct DeviceMessage: Sendable {
  /// The position of one event in `text`, and the facts that tell whether the server has it.
  struct Mark: Sendable {
    var line: Int
    var start: UInt32
    var end: UInt32
    /// Empty when unknown.
    var sourceStart: UInt32 = 0
    var sourceEnd: UInt32 = 0
    var sequence: UInt64?
    var epoch: UInt64 = 0
    var isRejected = false
    /// The event was sent before, and is not above the server's sequence: it is durable there, or was rejected.
    var isResumed = false
    /// The event's row in the spool; 0 without a spool.
    var row: Int64 = 0
    /// An earlier run left it in the spool.
    var isRestored = false
  }

  /// A JSON array. A message of one event is sent without its brackets.
  private(set) var text: [UInt8] = [0x5B]
  private(set) var marks: [Mark] = []
  /// Whether it went out on an earlier connection.
  var wasSent = false
  /// When it was last sent, in nanoseconds of a clock that only rises.
  var sentAt: UInt64 = 0

  public init() {}

  /// A message of one event, or of any other text: the server says what is wrong with it.
  public init(_ event: some Sequence<UInt8>, line: Int) {
    let bytes = Array(event)
    bytes.withUnsafeBytes { append($0, EventFacts($0), line: line) }
  }

  /// An empty message with room for as much as `other` holds.
  init(likeSizeOf other: DeviceMessage) {
    text.reserveCapacity(other.text.count + other.text.count / 8)
    marks.reserveCapacity(other.marks.count)
  }

  public var eventCount: Int { marks.count }
  /// Bytes of the message as sent, before compression.
  public var byteCount: Int { marks.count == 1 ? text.count - 1 : text.count + 1 }

  /// Appends an event.
  /// - Parameters:
  ///   - event: One JSON object.
  ///   - line: The event's line in the input, for messages to people.
  public mutating func append(_ event: UnsafeRawBufferPointer, line: Int) { append(event, EventFacts(event), line: line) }

  /// Appends an event.
  /// - Parameters:
  ///   - event: One JSON object if the message holds others.
  ///   - facts: The facts of `event`; nil if it is not one JSON object.
  mutating func append(_ event: UnsafeRawBufferPointer, _ facts: EventFacts?, line: Int) {
    if !marks.isEmpty { text.append(0x2C) }
    let start = text.count
    text.append(contentsOf: event)
    var mark = Mark(line: line, start: UInt32(start), end: UInt32(text.count))
    if let facts {
      mark.sourceStart = UInt32(start + facts.source.lowerBound)
      mark.sourceEnd = UInt32(start + facts.source.upperBound)
      mark.sequence = facts.sequence
      mark.epoch = facts.epoch
    }
    marks.append(mark)
  }

  /// Calls `body` with the bytes to send.
  mutating func withPayload<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    if marks.count == 1 {
      return text.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[1...])) }
    }
    text.append(0x5D)
    defer { text.removeLast() }
    return text.withUnsafeBytes(body)
  }

  /// The source's UTF-8; empty when unknown.
  func source(of mark: Mark) -> ArraySlice<UInt8> { text[Int(mark.sourceStart)..<Int(mark.sourceEnd)] }

  func text(of mark: Mark) -> ArraySlice<UInt8> { text[Int(mark.start)..<Int(mark.end)] }

  mutating func keep(_ event: Int, row: Int64) { marks[event].row = row }

  /// Marks the message, which has one event, as read from a spool.
  mutating func restore(row: Int64) {
    marks[0].row = row
    marks[0].isRestored = true
    wasSent = true
  }

  /// The spool's rows of all events that are in the spool.
  var rows: [Int64] { marks.lazy.map(\.row).filter { $0 != 0 } }

  mutating func markRejected(_ event: Int) {
    if marks.indices.contains(event) { marks[event].isRejected = true }
  }

  /// Events that the server had before they were sent this time: it answers them as duplicates, unless it rejects them.
  var resumedCount: Int { marks.count { $0.isResumed && !$0.isRejected } }

  /// The same message with only the events that `isKept` says; it may change their marks.
  func filtered(_ isKept: (inout Mark) -> Bool) -> DeviceMessage {
    var result = DeviceMessage()
    result.wasSent = wasSent
    for var mark in marks where isKept(&mark) {
      if !result.marks.isEmpty { result.text.append(0x2C) }
      let start = UInt32(result.text.count)
      result.text.append(contentsOf: text[Int(mark.start)..<Int(mark.end)])
      var moved = mark
      moved.start = start
      moved.end = UInt32(result.text.count)
      if mark.sourceEnd > mark.sourceStart {
        moved.sourceStart = mark.sourceStart - mark.start + start
        moved.sourceEnd = mark.sourceEnd - mark.start + start
      }
      result.marks.append(moved)
    }
    return result
  }
}
