import Synchronization

/// The sources of suspect duplicates: events that were answered for as duplicates, and that nobody has.
public final class SuspectSources: Sendable {
  /// The most sources kept, those that sent such an event last.
  public static let sourcesMax = RecentSources<Entry>.sourcesMax

  public struct Entry: Sendable, Hashable, SourceNote {
    /// Its first bytes, repaired to UTF-8.
    public var source: String
    /// Its suspect duplicates since it is in the list.
    public var count: Int
    /// The sequence of the last of them.
    public var sequence: UInt64
    public var last: ProducerPosition
    public var time: Timestamp
  }

  private let entries = Mutex(RecentSources<Entry>())

  public init() {}

  /// - Parameters:
  ///   - named: The suspect exception.
  ///   - time: The time of its answer.
  public func note(_ named: AppendReceipt.Named, at time: Timestamp) {
    entries.withLock { entries in
      let count = (entries[named.source]?.count ?? 0) + 1
      entries[named.source] = Entry(
        source: named.source, count: count, sequence: named.sequence, last: named.last, time: time)
    }
  }

  /// The source that sent such an event last comes first.
  public var list: [Entry] { entries.withLock { $0 }.list }
}

extension SuspectSources.Entry {
  /// `{"source":"thermo/7","count":12,"sequence":"101","epoch":"0","last_sequence":"1000000000","time_ns":1356998400000000000}`
  public var json: JSONValue {
    var members = told
    members["time_ns"] = .int(time.nanoseconds)
    return .object(members)
  }

  /// The members shown to people: `source`, `count`, `sequence`, `epoch`, `last_sequence`; sequences as text, since they have 64
  /// bits.
  public var told: JSONObject {
    var members = JSONObject()
    members["source"] = .string(source)
    members["count"] = .int(Int64(count))
    members["sequence"] = .string(String(sequence))
    members["epoch"] = .string(String(last.epoch))
    members["last_sequence"] = .string(String(last.sequence))
    return members
  }

  /// Reads an entry in the form of `json`; nil for any other form.
  init?(_ json: JSONValue) {
    func number(_ name: String) -> UInt64? {
      guard case .string(let text)? = json[name] else { return nil }
      return UInt64(text)
    }
    guard case .string(let source)? = json["source"], source.utf8.count <= RejectedEvent.sourceBytesMax * 3,
      case .int(let count)? = json["count"], (1...(1 << 53)).contains(count), case .int(let time)? = json["time_ns"],
      let sequence = number("sequence"), let epoch = number("epoch"), let last = number("last_sequence")
    else { return nil }
    self.init(
      source: source, count: Int(count), sequence: sequence, last: ProducerPosition(epoch: epoch, sequence: last),
      time: Timestamp(nanoseconds: time))
  }
}
