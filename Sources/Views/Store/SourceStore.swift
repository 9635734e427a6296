import Events

/// The seam between clients that ask about sources (devices, their clocks and what they sent) and the workers that know them.
///
/// A store answers for the partitions that it owns; a client of several puts their answers together.
public protocol SourceStore: Sendable {
  /// The sources of the request, in its order.
  ///
  /// The sources of one partition are as of the offset that `SourceReadResult.asOf` has for it.
  /// - Throws: `ViewStoreError.missingPartitions` when no one owns some partition, unless the request allows that.
  nonisolated(nonsending) func sources(_ request: SourceReadRequest) async throws(ViewStoreError) -> SourceReadResult
}

public struct SourceReadRequest: Sendable, Hashable {
  /// The most sources of one answer.
  public static let limitMax = 10_000

  /// The bytes that a name begins with.
  public var prefix: UTF8Text
  /// One source only.
  public var source: UTF8Text?
  /// The latest append time of a source's last event; nil for any.
  public var lastAppendedBy: Timestamp?
  /// Only sources that sent an event further ahead of its append time than `compute.clock_ahead_max`.
  public var isAheadOnly: Bool
  public var order: SourceOrder
  /// Go on behind this place.
  public var after: SourcePlace?
  /// 1 to `limitMax`.
  public var limit: Int
  /// Whether the partitions that are owned are enough.
  public var allowsPartial: Bool

  public init(
    prefix: UTF8Text = "", source: UTF8Text? = nil, lastAppendedBy: Timestamp? = nil, isAheadOnly: Bool = false,
    order: SourceOrder = SourceOrder(), after: SourcePlace? = nil, limit: Int, allowsPartial: Bool = false
  ) {
    precondition((1...SourceReadRequest.limitMax).contains(limit), "an answer has a place for a source, and a bound")
    self.prefix = prefix
    self.source = source
    self.lastAppendedBy = lastAppendedBy
    self.isAheadOnly = isAheadOnly
    self.order = order
    self.after = after
    self.limit = limit
    self.allowsPartial = allowsPartial
  }

  /// Whether a source is wanted by its name.
  /// - Parameter name: The UTF-8 of its name.
  public func takes(name: some Collection<UInt8>) -> Bool {
    name.starts(with: prefix.string.utf8) && source.map { $0.string.utf8.elementsEqual(name) } ?? true
  }

  /// Whether a source is wanted by its times, in nanoseconds.
  /// - Parameters:
  ///   - eventTime: `SourceStatus.eventTime`
  ///   - largestEventTime: `SourceStatus.largestEventTime`
  ///   - lastAppendTime: `SourceStatus.lastAppendTime`
  public func takes(eventTime: Int64, largestEventTime: Int64, lastAppendTime: Int64) -> Bool {
    (!isAheadOnly || largestEventTime > eventTime) && lastAppendedBy.map { lastAppendTime <= $0.nanoseconds } ?? true
  }
}

/// A source as it is known by the events that were counted.
public struct SourceStatus: Sendable, Hashable {
  public var source: UTF8Text
  public var partition: PartitionID
  /// The epoch and sequence of the last of its events that has one; nil when it sent none.
  public var last: ProducerPosition?
  /// The largest event time it sent.
  public var largestEventTime: Timestamp
  /// The largest of its event times, each held to its batch's append time + `compute.clock_ahead_max`: what its event-time
  /// watermark is computed from.
  public var eventTime: Timestamp
  /// The append time of its last event.
  public var lastAppendTime: Timestamp
  /// The number of its events that were counted, whatever views made of them.
  public var events: Int

  public init(
    source: UTF8Text, partition: PartitionID, last: ProducerPosition?, largestEventTime: Timestamp, eventTime: Timestamp,
    lastAppendTime: Timestamp, events: Int
  ) {
    self.source = source
    self.partition = partition
    self.last = last
    self.largestEventTime = largestEventTime
    self.eventTime = eventTime
    self.lastAppendTime = lastAppendTime
    self.events = events
  }

  /// Whether an event of it was further ahead of its append time than `compute.clock_ahead_max`, and no right time has passed
  /// that event's yet.
  public var isAhead: Bool { largestEventTime > eventTime }
}

public struct SourceReadResult: Sendable {
  /// Each partition's first offset that is not counted in its sources.
  public var asOf: OffsetVector
  /// Wanted sources in the wanted order.
  public var sources: [SourceStatus]
  /// All wanted sources up to this place are listed, and further ones may follow; nil when none does.
  public var next: SourcePlace?

  public init(asOf: OffsetVector, sources: [SourceStatus] = [], next: SourcePlace? = nil) {
    self.asOf = asOf
    self.sources = sources
    self.next = next
  }

  /// Puts the answers to one request together.
  /// - Parameters:
  ///   - results: Answers for different partitions.
  ///   - request: The request.
  public init(merging results: [SourceReadResult], of request: SourceReadRequest) {
    self.init(asOf: OffsetVector())
    var first = FirstSources(request)
    for result in results {
      for (partition, offset) in result.asOf.offsets { asOf[partition] = offset }
      // Beyond the place where one ends, it may have sources that come before those of another.
      if let next = result.next { first.end(at: next) }
    }
    for status in results.lazy.flatMap(\.sources) { first.add(status) }
    (sources, next) = first.finish()
  }
}
