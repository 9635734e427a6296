import Events

/// The seam between clients that list a view's late events and the store that keeps them.
package protocol LateEventStore: Sendable {
  /// Late events in the order of partition and offset.
  nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult
}

package struct LateReadRequest: Sendable, Hashable {
  package var view: String
  /// The live generation when nil.
  package var generation: Int?
  /// A bound of the events' time, inclusive.
  package var from: Timestamp?
  /// Exclusive.
  package var to: Timestamp?
  /// The partition and offset to go on at; later partitions follow.
  package var partition: PartitionID
  package var offset: Offset
  package var limit: Int

  package init(
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

package struct LateReadResult: Sendable {
  package var generation: Int
  /// No event before these is missing, none from them on is listed.
  package var asOf: OffsetVector
  package var events: [LateEvent]
  /// The counts of each partition, whatever was asked for.
  package var counts: [PartitionID: LateCounts]

  package init(generation: Int, asOf: OffsetVector, events: [LateEvent], counts: [PartitionID: LateCounts] = [:]) {
    self.generation = generation
    self.asOf = asOf
    self.events = events
    self.counts = counts
  }
}

/// The number of late events, and how many of them, the last ones, are listed.
package struct LateCounts: Sendable, Hashable {
  package var counted: Int
  package var listed: Int

  package init(counted: Int, listed: Int) {
    self.counted = counted
    self.listed = listed
  }
}

/// An event that came after its window had closed.
package struct LateEvent: Sendable, Hashable {
  package var partition: PartitionID
  package var offset: Offset
  package var time: Timestamp
  /// The start of the window that it missed.
  package var windowStart: Timestamp

  package init(partition: PartitionID, offset: Offset, time: Timestamp, windowStart: Timestamp) {
    self.partition = partition
    self.offset = offset
    self.time = time
    self.windowStart = windowStart
  }
}
