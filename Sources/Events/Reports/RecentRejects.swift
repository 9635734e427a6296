import Synchronization

/// The last rejected events, by reason, so that a flood of one kind does not hide the others.
public final class RecentRejects: Sendable {
  /// The most rejects kept of each code.
  public static let perCodeMax = 32

  public struct Entry: Sendable, Hashable {
    public var time: Timestamp
    public var code: RejectCode
    public var detail: String
    public var rejected: RejectedEvent
    /// The reject's number among those of its process, from 1.
    public var number: Int
  }

  private struct State {
    /// In order, the newest last.
    var entries: [RejectCode: [Entry]] = [:]
    var last = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// - Parameters:
  ///   - reject: The reason.
  ///   - rejected: The known parts of the event.
  ///   - time: The time of its arrival.
  public func note(_ reject: EventReject, _ rejected: RejectedEvent, at time: Timestamp = .systemNow()) {
    state.withLock { state in
      RecentRejects.keep(
        Entry(time: time, code: reject.code, detail: reject.detail, rejected: rejected, number: state.last + 1), in: &state)
    }
  }

  /// Keeps the rejects that another process has reported, or those stored before a restart.
  /// - Parameter entries: Entries in the order of their numbers; those up to `last` are skipped.
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

  public func newestFirst() -> [Entry] {
    state.withLock { state in Array(state.entries.values.joined()) }.sorted { $0.isNewer(than: $1) }
  }

  /// The kept rejects with a number above `number`, in the order of their numbers.
  public func entries(after number: Int) -> [Entry] {
    state.withLock { state in
      state.last == number ? [] : state.entries.values.flatMap { list in list.filter { $0.number > number } }
    }.sorted { $0.number < $1.number }
  }
}

extension RecentRejects.Entry {
  /// Numbers order the rejects of one moment, which may be of one process.
  public func isNewer(than other: RecentRejects.Entry) -> Bool { (time, number) > (other.time, other.number) }

  /// ```
  /// {"number":7,"time_ns":1356998400000000000,"code":"invalid_time","detail":"…","source":"station/EWR","message_number":3,"event":0,
  ///  "position":1,"message":"{\"source\":…"}
  /// ```
  public var json: JSONValue {
    var members = JSONObject()
    members["number"] = .int(Int64(number))
    members["time_ns"] = .int(time.nanoseconds)
    for member in told { members[member.name] = member.value }
    return .object(members)
  }

  /// The members shown to people: `code`, `detail`, `source`, `message_number`, `event`, `position` and `message`, null where
  /// unknown.
  public var told: JSONObject {
    func number(_ value: Int?) -> JSONValue { value.map { .int(Int64($0)) } ?? .null }
    var members = JSONObject()
    members["code"] = .string(code.rawValue)
    members["detail"] = .string(detail)
    members["source"] = rejected.source.map { .string($0) } ?? .null
    members["message_number"] = number(rejected.message)
    members["event"] = number(rejected.event)
    members["position"] = number(rejected.position)
    members["message"] = rejected.excerpt.map { .string($0) } ?? .null
    return members
  }

  /// Reads entries in the form of `json`. Unknown codes are skipped, and long texts cut.
  /// - Parameter json: An array of at most as many entries as one process keeps.
  /// - Returns: In the order of their numbers; nil for any other form.
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
      func count(_ name: String) -> Int? {
        guard case .int(let value)? = value[name], value >= 0 else { return nil }
        return Int(value)
      }
      // Repairing made each byte at most three.
      func text(_ name: String, bytesMax: Int) -> String? {
        guard case .string(let text)? = value[name] else { return nil }
        return String(decoding: text.utf8.prefix(bytesMax * 3), as: UTF8.self)
      }
      let rejected = RejectedEvent(
        message: count("message_number"), event: count("event"), position: count("position"),
        excerpt: text("message", bytesMax: RejectedEvent.excerptBytesMax),
        source: text("source", bytesMax: RejectedEvent.sourceBytesMax))
      entries.append(
        RecentRejects.Entry(
          time: Timestamp(nanoseconds: time), code: code, detail: EventReject(code, detail).detail, rejected: rejected,
          number: Int(number)))
    }
    return entries.sorted { $0.number < $1.number }
  }
}
