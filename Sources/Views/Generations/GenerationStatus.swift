import Events

/// Where one generation of a view is in its life.
public enum GenerationState: String, Sendable, Hashable, CaseIterable {
  /// Reads the log from its start, beside the live one.
  case building
  /// Has caught up, counts along, and waits to be promoted.
  case held
  /// A bounded replay that has come to its end. It stays there, to be read and compared.
  case complete
  /// The one that reads answer with; each view has exactly one.
  case live
  /// Was live before the present one; counts along, so that a rollback is at once.
  case previous
  /// Given up by hand before it was live.
  case cancelled
  /// Gone, with all it held.
  case dropped

  /// Whether its state is kept.
  public var isKept: Bool { self != .cancelled && self != .dropped }
}

/// One generation of a view: its definition, its state and how far it has come.
public struct GenerationStatus: Sendable {
  public var definition: ViewDefinition
  /// From 1; unique within the view, never given twice.
  public var generation: Int
  public var state: GenerationState
  /// Whether it takes over by itself when it has caught up.
  public var promotes: Bool
  /// Where it ends, for a bounded replay.
  public var to: OffsetVector?
  /// Which events it counts, by their times.
  public var times: EventTimeBounds
  public var createdAt: Timestamp
  /// In the order of partitions; only those the store owns. Empty for one that is not kept.
  public var partitions: [PartitionProgress]
  /// Measured since this process began to build it; nil when it has not.
  public var eventsPerSecond: Double?
  /// What keeps it from its work.
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

  /// Events counted, from where it began.
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
