import Events

public enum GenerationState: String, Sendable, Hashable, CaseIterable {
  /// Reads the log from its start, beside the live one.
  case building
  /// Has caught up, goes on counting, and waits to be promoted.
  case held
  /// A bounded replay that has reached its end. It stays there, to be read and compared.
  case complete
  /// Reads answer from it; each view has exactly one.
  case live
  /// Was live before the present one; goes on counting, so that a rollback is immediate.
  case previous
  /// Cancelled by hand before it was live.
  case cancelled
  /// Its rows are deleted.
  case dropped

  /// Whether its state is kept.
  public var isKept: Bool { self != .cancelled && self != .dropped }
}

/// One generation of a view: its definition, its state and its progress.
public struct GenerationStatus: Sendable {
  public var definition: ViewDefinition
  /// From 1; unique within the view, never given twice.
  public var generation: Int
  public var state: GenerationState
  /// Whether it takes over by itself once it has caught up.
  public var promotes: Bool
  /// The end of a bounded replay.
  public var to: OffsetVector?
  public var times: EventTimeBounds
  public var createdAt: Timestamp
  /// In the order of partitions; only those that the store owns. Empty for a generation that is not kept.
  public var partitions: [PartitionProgress]
  /// Measured since this process began to build it; nil when it has not.
  public var eventsPerSecond: Double?
  /// The reason why it stopped.
  public var problem: String?

  public init(
    definition: ViewDefinition, generation: Int, state: GenerationState, promotes: Bool = true, to: OffsetVector? = nil,
    times: EventTimeBounds = .all, createdAt: Timestamp, partitions: [PartitionProgress] = [], eventsPerSecond: Double? = nil,
    problem: String? = nil
  ) {
    self.definition = definition
    self.generation = generation
    self.state = state
    self.promotes = promotes
    self.to = to
    self.times = times
    self.createdAt = createdAt
    self.partitions = partitions
    self.eventsPerSecond = eventsPerSecond
    self.problem = problem
  }

  /// Events counted, from its beginning.
  public var eventsDone: Int { partitions.reduce(0) { $0 + max(0, $1.firstOffset.distance(to: $1.nextOffset)) } }

  /// Events to count up to its end or, without one, up to the log's.
  public var eventsTotal: Int {
    partitions.reduce(0) { $0 + max(0, $1.firstOffset.distance(to: end(of: $1))) }
  }

  private func end(of progress: PartitionProgress) -> Offset {
    guard let to else { return max(progress.highWatermark, progress.nextOffset) }
    return max(to[progress.partition] ?? progress.firstOffset, progress.firstOffset)
  }

  /// Nil when it is not known.
  public var secondsLeft: Double? {
    let left = eventsTotal - eventsDone
    if left <= 0 { return 0 }
    guard let eventsPerSecond, eventsPerSecond > 0 else { return nil }
    return Double(left) / eventsPerSecond
  }

  public var offsets: OffsetVector {
    OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.nextOffset) }))
  }
}
