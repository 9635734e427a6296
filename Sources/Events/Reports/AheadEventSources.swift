import Synchronization

/// The sources whose events were ahead of the clock when they came: a device's clock is wrong.
public final class AheadEventSources: Sendable {
  /// The most sources kept, those that sent such an event last.
  public static let sourcesMax = RecentSources<Entry>.sourcesMax

  public struct Entry: Sendable, Hashable, SourceNote {
    /// Its first bytes, repaired to UTF-8.
    public var source: String
    /// Its events that were ahead, since it is in the list.
    public var count: Int
    /// The event time of the last of them.
    public var eventTime: Timestamp
    /// The time of its arrival.
    public var time: Timestamp

    public init(source: String, count: Int, eventTime: Timestamp, time: Timestamp) {
      self.source = source
      self.count = count
      self.eventTime = eventTime
      self.time = time
    }
  }

  private let entries = Mutex(RecentSources<Entry>())

  public init() {}

  /// Adds the sources of a batch.
  /// - Parameter noted: At most one entry a source, with the count of that batch.
  public func note(_ noted: [Entry]) {
    entries.withLock { entries in
      for var entry in noted {
        entry.count += entries[entry.source]?.count ?? 0
        entries[entry.source] = entry
      }
    }
  }

  /// The source that sent such an event last comes first.
  public var list: [Entry] { entries.withLock { $0 }.list }
}

extension AheadEventSources.Entry {
  /// `{"source":"thermo/7","count":12,"event_time_ns":1924992000000000000,"time_ns":1356998400000000000}`
  public var json: JSONValue {
    [
      "source": .string(source), "count": .int(Int64(count)), "event_time_ns": .int(eventTime.nanoseconds),
      "time_ns": .int(time.nanoseconds),
    ]
  }

  /// Reads an entry in the form of `json`; nil for any other form.
  init?(_ json: JSONValue) {
    guard case .string(let source)? = json["source"], source.utf8.count <= RejectedEvent.sourceBytesMax * 3,
      case .int(let count)? = json["count"], (1...(1 << 53)).contains(count),
      case .int(let eventTime)? = json["event_time_ns"], case .int(let time)? = json["time_ns"]
    else { return nil }
    self.init(
      source: source, count: Int(count), eventTime: Timestamp(nanoseconds: eventTime), time: Timestamp(nanoseconds: time))
  }
}
