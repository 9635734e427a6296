/// The report of an ingest process about itself, or the sum of several: counts since each started.
public struct IngestReport: Sendable, Hashable {
  /// A histogram's cumulative count of the acknowledgements that took no longer than `bound` seconds, which may be infinite.
  public struct AckBucket: Sendable, Hashable {
    public var bound: Double
    public var count: Int

    public init(bound: Double, count: Int) {
      self.bound = bound
      self.count = count
    }
  }

  /// No histogram has more buckets.
  private static let bucketsMax = 128
  /// No count is larger, so that sums of many reports stay whole numbers.
  private static let countMax: Int64 = 1 << 53

  public var events: ReceivedEvents
  /// The sources of suspect duplicates, the latest first.
  public var suspectSources: [SuspectSources.Entry]
  /// The sources of events that were ahead of the clock, the latest first.
  public var aheadSources: [AheadEventSources.Entry]
  public var connections: Int
  public var rejects: [RejectCode: Int]
  /// By ascending bound.
  public var acks: [AckBucket]

  /// - Parameters:
  ///   - events: The counts of one moment.
  ///   - suspects: The sources of suspect duplicates.
  ///   - ahead: The sources of events that were ahead of the clock.
  ///   - connections: Devices' open connections.
  ///   - rejects: Rejected events by code.
  ///   - acks: Buckets by ascending bound.
  public init(
    _ events: ReceivedEvents, suspects: SuspectSources = SuspectSources(), ahead: AheadEventSources = AheadEventSources(),
    connections: Int = 0, rejects: [RejectCode: Int] = [:], acks: [AckBucket] = []
  ) {
    self.events = events
    suspectSources = suspects.list
    aheadSources = ahead.list
    self.connections = connections
    self.rejects = rejects
    self.acks = acks
  }

  /// - Parameter json: The form of `json`; unknown codes are skipped.
  /// - Returns: Nil for any other form.
  public init?(_ json: JSONValue) {
    func count(_ value: JSONValue?) -> Int? {
      guard case .int(let count)? = value, (0...IngestReport.countMax).contains(count) else { return nil }
      return Int(count)
    }
    guard let received = count(json["received"]), let appended = count(json["appended"]),
      let duplicates = count(json["duplicates"]), let rejected = count(json["rejected"]),
      let connections = count(json["connections"]), case .object(let codes)? = json["rejects"],
      case .array(let buckets)? = json["ack_seconds"]?["buckets"], buckets.count <= IngestReport.bucketsMax
    else { return nil }
    events = ReceivedEvents(
      received: received, appended: appended, duplicates: duplicates, rejected: rejected,
      suspects: count(json["suspect_duplicates"]) ?? 0, ahead: count(json["events_ahead"]) ?? 0)
    suspectSources = []
    if case .array(let told)? = json["suspect_sources"], told.count <= SuspectSources.sourcesMax {
      suspectSources = told.compactMap { SuspectSources.Entry($0) }
    }
    aheadSources = []
    if case .array(let told)? = json["events_ahead_sources"], told.count <= AheadEventSources.sourcesMax {
      aheadSources = told.compactMap { AheadEventSources.Entry($0) }
    }
    self.connections = connections
    rejects = [:]
    for member in codes {
      if let code = RejectCode(rawValue: member.name), let count = count(member.value) { rejects[code] = count }
    }
    acks = []
    for case .array(let pair) in buckets {
      guard pair.count == 2, let count = count(pair[1]) else { return nil }
      switch pair[0] {
      case .double(let bound): acks.append(AckBucket(bound: bound, count: count))
      case .int(let bound): acks.append(AckBucket(bound: Double(bound), count: count))
      case .null: acks.append(AckBucket(bound: .infinity, count: count))
      default: return nil
      }
    }
  }

  /// `{"received":12,"appended":12,"duplicates":0,"rejected":0,"suspect_duplicates":0,"suspect_sources":[],"events_ahead":0,"events_ahead_sources":[],"connections":1,"rejects":{"fenced":0},"ack_seconds":{"buckets":[[0.001,12],[null,12]]}}`
  public var json: JSONValue {
    var codes = JSONObject()
    for (code, count) in rejects.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { codes[code.rawValue] = .int(Int64(count)) }
    let buckets = acks.map { JSONValue.array([$0.bound.isFinite ? .double($0.bound) : .null, .int(Int64($0.count))]) }
    return [
      "received": .int(Int64(events.received)), "appended": .int(Int64(events.appended)),
      "duplicates": .int(Int64(events.duplicates)), "rejected": .int(Int64(events.rejected)),
      "suspect_duplicates": .int(Int64(events.suspects)), "suspect_sources": .array(suspectSources.map(\.json)),
      "events_ahead": .int(Int64(events.ahead)), "events_ahead_sources": .array(aheadSources.map(\.json)),
      "connections": .int(Int64(connections)), "rejects": .object(codes), "ack_seconds": ["buckets": .array(buckets)],
    ]
  }

  /// Adds another process's report. Processes of one version have the same buckets; where they differ, the first's are kept.
  public mutating func add(_ other: IngestReport) {
    events.received += other.events.received
    events.appended += other.events.appended
    events.duplicates += other.events.duplicates
    events.rejected += other.events.rejected
    events.suspects += other.events.suspects
    events.ahead += other.events.ahead
    suspectSources = RecentSources.ordered(suspectSources + other.suspectSources)
    aheadSources = RecentSources.ordered(aheadSources + other.aheadSources)
    connections += other.connections
    rejects.merge(other.rejects, uniquingKeysWith: +)
    guard acks.map(\.bound) == other.acks.map(\.bound) else { return }
    for index in acks.indices { acks[index].count += other.acks[index].count }
  }
}
