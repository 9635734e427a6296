/// Administers a log: its state, its retention, its end. Code that only writes and reads a log uses `EventLog` alone.
public protocol LogAdministration: Sendable {
  /// The state of every partition, in the order of their numbers.
  func status() -> [PartitionStatus]

  /// Removes what is too old or too much, as the log's settings say, from each partition's front: never an event that `hold`
  /// keeps.
  /// - Returns: How many pieces were removed, such as segments.
  /// - Throws: The first failure, after all partitions have had their turn; a partition that does not open is passed over.
  @discardableResult
  func enforceRetention(_ hold: RetentionHold) async throws(LogError) -> Int

  /// Enforces retention again and again until the task is cancelled. Does nothing where the settings keep all.
  /// - Parameters:
  ///   - interval: The time from the end of one pass to the next.
  ///   - hold: Asked before each pass for the events that must stay.
  func runRetention(every interval: Duration, hold: @Sendable () async -> RetentionHold) async

  /// Looks every `interval` whether what the log keeps is still its own, until the task is cancelled.
  func runWatch(every interval: Duration) async

  /// Refuses new appends, makes durable what waits, wakes all who wait, and lets another process open the log. Reads still work.
  func close() async
}

/// The state of one partition, for `/readyz` and tools.
public struct PartitionStatus: Sendable, Hashable {
  public enum State: Sendable, Hashable {
    case open
    /// Reads go on, appends are refused: poisoned, or shut down.
    case refusing(LogError)
    /// Did not open.
    case failed(LogError)
  }

  public let partition: PartitionID
  public let state: State
  /// Nil when it did not open.
  public let bounds: PartitionBounds?
  /// Pieces that retention removes whole.
  public let segments: Int
  public let bytes: Int

  public init(partition: PartitionID, state: State, bounds: PartitionBounds?, segments: Int, bytes: Int) {
    self.partition = partition
    self.state = state
    self.bounds = bounds
    self.segments = segments
    self.bytes = bytes
  }
}
