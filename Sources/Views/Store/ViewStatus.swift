import Events

public struct ViewStatus: Sendable {
  public var definition: ViewDefinition
  /// From 1; rises with each changed definition.
  public var generation: Int
  /// In the order of partitions; only those the store owns.
  public var partitions: [PartitionProgress]

  public init(definition: ViewDefinition, generation: Int, partitions: [PartitionProgress]) {
    self.definition = definition
    self.generation = generation
    self.partitions = partitions
  }

  public var offsets: OffsetVector {
    OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.nextOffset) }))
  }

  /// Events in the log that no result counts yet.
  public var lagEvents: Int { partitions.reduce(0) { $0 + $1.lagEvents } }
}

/// The progress of one partition of a view. appended = applied + filtered + late + pending, counted from offset 0 or,
/// when the log had been trimmed before the view began, from `firstOffset`.
public struct PartitionProgress: Sendable, Hashable {
  public var partition: PartitionID
  /// The offset at which this generation began to read.
  public var firstOffset: Offset
  /// The first offset not counted yet.
  public var nextOffset: Offset
  public var highWatermark: Offset
  /// Nil before the first event.
  public var eventTimeWatermark: Timestamp?
  /// The time when the last counted event was appended; nil before the first.
  public var lastAppendTime: Timestamp?
  /// Events in a window.
  public var applied: Int
  /// Applied events in windows that the largest event time of the partition had closed, though their own source's had not.
  public var amended = 0
  /// Events that `where` left out, including those on which it failed.
  public var filtered: Int
  /// Events whose window had closed.
  public var late: Int
  /// The late events that are listed, the last ones.
  public var lateListed = 0
  /// Events on which `where` was an error.
  public var whereErrors: Int
  /// Aggregates' arguments that were an error or no number.
  public var argumentErrors: Int

  public init(
    partition: PartitionID, firstOffset: Offset = .zero, nextOffset: Offset = .zero, highWatermark: Offset = .zero,
    eventTimeWatermark: Timestamp? = nil, lastAppendTime: Timestamp? = nil, applied: Int = 0, filtered: Int = 0, late: Int = 0,
    whereErrors: Int = 0, argumentErrors: Int = 0
  ) {
    self.partition = partition
    self.firstOffset = firstOffset
    self.nextOffset = nextOffset
    self.highWatermark = highWatermark
    self.eventTimeWatermark = eventTimeWatermark
    self.lastAppendTime = lastAppendTime
    self.applied = applied
    self.filtered = filtered
    self.late = late
    self.whereErrors = whereErrors
    self.argumentErrors = argumentErrors
  }

  public var lagEvents: Int { max(0, nextOffset.distance(to: highWatermark)) }
}
