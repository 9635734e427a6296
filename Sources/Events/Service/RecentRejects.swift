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
  }

  /// The newest last.
  private let entries = Mutex<[RejectCode: [Entry]]>([:])

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
    let entry = Entry(time: time, code: reject.code, detail: reject.detail, event: event, message: excerpt)
    entries.withLock { entries in
      var list = entries[reject.code] ?? []
      // Taken out first, so that it is changed in place.
      entries[reject.code] = nil
      if list.count == RecentRejects.perCodeMax { list.removeFirst() }
      list.append(entry)
      entries[reject.code] = list
    }
  }

  /// All that are kept, the newest first.
  public func newestFirst() -> [Entry] {
    entries.withLock { entries in entries.values.flatMap { $0.reversed() } }.sorted { $0.time > $1.time }
  }
}
