import Synchronization

/// The last events that were not taken, by reason: so that a flood of one kind does not hide the others. In memory only; a restart forgets them.
public final class RecentRejects: Sendable {
  /// Kept of each code.
  public static let perCodeMax = 32
  /// Bytes kept of a message.
  public static let excerptBytesMax = 256

  public struct Entry: Sendable, Hashable {
    public var time: Timestamp
    public var code: RejectCode
    public var detail: String
    /// The event's number in its message, from 0; nil where the message is bad as a whole.
    public var event: Int?
    /// The message's first bytes, repaired to UTF-8; nil where they are gone by the time the reject is known.
    public var message: String?
    /// Its place among its process's rejects, from 1.
    public var number: Int
  }

  private struct State {
    /// The newest last.
    var entries: [RejectCode: [Entry]] = [:]
    var last = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// - Parameters:
  ///   - reject: Why it was not taken.
  ///   - event: Its number in its message; nil where that is bad as a whole.
  ///   - message: The whole of it; a beginning is kept.
  ///   - time: When it came.
  public func note(
    _ reject: EventReject, event: Int?, message: UnsafeRawBufferPointer? = nil, at time: Timestamp = .systemNow()
  ) {
    let excerpt = message.map { String(decoding: $0.prefix(RecentRejects.excerptBytesMax), as: UTF8.self) }
    state.withLock { state in
      RecentRejects.keep(
        Entry(
          time: time, code: reject.code, detail: reject.detail, event: event, message: excerpt, number: state.last + 1),
        in: &state)
    }
  }

  /// Keeps what another process has told of its rejects.
  /// - Parameter entries: In the order of their numbers; those up to `last` are passed over.
  public func note(_ entries: [Entry]) {
    state.withLock { state in for entry in entries where entry.number > state.last { RecentRejects.keep(entry, in: &state) } }
  }

  private static func keep(_ entry: Entry, in state: inout State) {
    // Taken out, so that it is changed in place.
    var list = state.entries.removeValue(forKey: entry.code) ?? []
    if list.count == RecentRejects.perCodeMax { list.removeFirst() }
    list.append(entry)
    state.entries[entry.code] = list
    state.last = entry.number
  }

  /// The number of the last reject that was noted; 0 before the first.
  public var last: Int { state.withLock { $0.last } }

  /// All that are kept, the newest first.
  public func newestFirst() -> [Entry] {
    state.withLock { state in Array(state.entries.values.joined()) }.sorted { $0.isNewer(than: $1) }
  }

  /// Those that are kept with a number above `number`, in the order of their numbers.
  public func entries(after number: Int) -> [Entry] {
    state.withLock { state in
      state.last == number ? [] : state.entries.values.flatMap { list in list.filter { $0.number > number } }
    }.sorted { $0.number < $1.number }
  }
}

extension RecentRejects.Entry {
  /// Rejects of one moment are told apart by their numbers, which those of one process may be.
  public func isNewer(than other: RecentRejects.Entry) -> Bool { (time, number) > (other.time, other.number) }

  /// Of a detail that another process tells.
  static let detailBytesMax = 4096

  /// `{"number":7,"time_ns":1356998400000000000,"code":"fenced","detail":"…","event":3,"message":null}`
  public var json: JSONValue {
    [
      "number": .int(Int64(number)), "time_ns": .int(time.nanoseconds), "code": .string(code.rawValue), "detail": .string(detail),
      "event": event.map { .int(Int64($0)) } ?? .null, "message": message.map { .string($0) } ?? .null,
    ]
  }

  /// Reads entries as `json` has them. Codes that this process does not know are passed over, and long texts cut.
  /// - Parameter json: An array of at most as many as one process keeps.
  /// - Returns: In the order of their numbers; nil where it is something else.
  public static func list(_ json: JSONValue?) -> [RecentRejects.Entry]? {
    guard case .array(let values)? = json, values.count <= RecentRejects.perCodeMax * RejectCode.allCases.count else {
      return nil
    }
    var entries: [RecentRejects.Entry] = []
    for value in values {
      guard case .int(let number)? = value["number"], number > 0, case .int(let time)? = value["time_ns"],
        case .string(let name)? = value["code"], case .string(let detail)? = value["detail"]
      else { return nil }
      guard let code = RejectCode(rawValue: name) else { continue }
      var entry = RecentRejects.Entry(
        time: Timestamp(nanoseconds: time), code: code,
        detail: String(decoding: detail.utf8.prefix(detailBytesMax), as: UTF8.self), event: nil, message: nil, number: Int(number)
      )
      if case .int(let event)? = value["event"] { entry.event = Int(event) }
      if case .string(let message)? = value["message"] {
        // Repairing made each byte three at most.
        entry.message = String(decoding: message.utf8.prefix(RecentRejects.excerptBytesMax * 3), as: UTF8.self)
      }
      entries.append(entry)
    }
    return entries.sorted { $0.number < $1.number }
  }
}
