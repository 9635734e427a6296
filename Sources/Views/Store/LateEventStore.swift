import Events

/// The seam between those who list a view's late events and those who keep them.
public protocol LateEventStore: Sendable {
  /// Late events in the order of partition and offset.
  nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult
}

/// Which late events to list.
public struct LateReadRequest: Sendable, Hashable {
  public var view: String
  /// The live generation when nil.
  public var generation: Int?
  /// Of the events' time, inclusive.
  public var from: Timestamp?
  /// Exclusive.
  public var to: Timestamp?
  /// Where to go on: this partition, from this offset, and then the partitions after it.
  public var partition: PartitionID
  public var offset: Offset
  public var limit: Int

  public init(
    view: String, generation: Int? = nil, from: Timestamp? = nil, to: Timestamp? = nil, partition: PartitionID = PartitionID(0),
    offset: Offset = .zero, limit: Int
  ) {
    self.view = view
    self.generation = generation
    self.from = from
    self.to = to
    self.partition = partition
    self.offset = offset
    self.limit = limit
  }
}

public struct LateReadResult: Sendable {
  public var generation: Int
  /// No event before these is missing, none from them on is listed.
  public var asOf: OffsetVector
  /// `limit` at most.
  public var events: [LateEvent]
  /// Of each partition, whatever was asked for.
  public var counts: [PartitionID: LateCounts]

  public init(generation: Int, asOf: OffsetVector, events: [LateEvent], counts: [PartitionID: LateCounts] = [:]) {
    self.generation = generation
    self.asOf = asOf
    self.events = events
    self.counts = counts
  }
}

/// How many events were late, and how many of them, the last ones, are listed.
public struct LateCounts: Sendable, Hashable {
  public var counted: Int
  public var listed: Int

  public init(counted: Int, listed: Int) {
    self.counted = counted
    self.listed = listed
  }
}

/// An event whose window had closed when it came.
public struct LateEvent: Sendable, Hashable {
  public var partition: PartitionID
  public var offset: Offset
  public var time: Timestamp
  /// Of the window it would have been in.
  public var windowStart: Timestamp

  public init(partition: PartitionID, offset: Offset, time: Timestamp, windowStart: Timestamp) {
    self.partition = partition
    self.offset = offset
    self.time = time
    self.windowStart = windowStart
  }
}
