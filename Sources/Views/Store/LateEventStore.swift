import Events

/// The seam between clients that list a view's late events and the store that keeps them.
public protocol LateEventStore: Sendable {
  /// Late events in the order of partition and offset.
  nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult
}

public struct LateReadRequest: Sendable, Hashable {
  public var view: String
  /// The live generation when nil.
  public var generation: Int?
  /// A bound of the events' time, inclusive.
  public var from: Timestamp?
  /// Exclusive.
  public var to: Timestamp?
  /// The partition and offset to go on at; later partitions follow.
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
  public var events: [LateEvent]
  /// The counts of each partition, whatever was asked for.
  public var counts: [PartitionID: LateCounts]

  public init(generation: Int, asOf: OffsetVector, events: [LateEvent], counts: [PartitionID: LateCounts] = [:]) {
    self.generation = generation
    self.asOf = asOf
    self.events = events
    self.counts = counts
  }
}

/// The number of late events, and how many of them, the last ones, are listed.
public struct LateCounts: Sendable, Hashable {
  public var counted: Int
  public var listed: Int

  public init(counted: Int, listed: Int) {
    self.counted = counted
    self.listed = listed
  }
}

/// The reason why an event is counted in no window.
public enum LateReason: String, Sendable, Hashable, CaseIterable {
  /// Its windows were closed.
  case windowClosed = "window_closed"
  /// Its windows were past the view's retention.
  case expired
}

/// An event that came too late for its windows.
public struct LateEvent: Sendable, Hashable {
  public var partition: PartitionID
  public var offset: Offset
  public var time: Timestamp
  /// The start of the window that it missed.
  public var windowStart: Timestamp
  public var reason: LateReason

  public init(
    partition: PartitionID, offset: Offset, time: Timestamp, windowStart: Timestamp, reason: LateReason = .windowClosed
  ) {
    self.partition = partition
    self.offset = offset
    self.time = time
    self.windowStart = windowStart
    self.reason = reason
  }
}
