import Aggregates
import Events
import Expressions

/// The seam between clients that change the generations of views and the store that keeps them. Values only, so that it can go
/// over a wire.
///
/// An administrator acts for the partitions it owns; docs/replay.md has the states and the guarantees of each step.
public protocol ViewAdmin: Sendable {
  /// Every generation of a view, oldest first, including those that ended lately.
  nonisolated(nonsending) func generations(of view: String) async throws(ViewStoreError) -> [GenerationStatus]

  /// Makes each view of the catalogue follow its definition: one that differs from the live generation's begins a new
  /// generation. Views that the catalogue does not name stay unchanged.
  /// - Parameters:
  ///   - catalog: The wanted views.
  ///   - hold: Whether the new generations wait to be promoted.
  nonisolated(nonsending) func apply(_ catalog: ViewCatalog, hold: Bool) async throws(ViewStoreError) -> [AppliedView]

  /// Begins a generation of the live definition, from the request's beginning.
  nonisolated(nonsending) func replay(_ request: ReplayRequest) async throws(ViewStoreError) -> GenerationStatus

  /// The cost of `replay`: nothing is begun.
  nonisolated(nonsending) func estimate(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayEstimate

  /// Makes a generation that has caught up the live one; the present one becomes `previous`. One that still builds takes over
  /// when it has caught up. Its gates are checked on rows of both as of the same offsets.
  nonisolated(nonsending) func promote(_ request: PromoteRequest) async throws(ViewStoreError) -> GenerationStatus

  /// Makes the previous generation live again, at once; the present one becomes `previous`.
  nonisolated(nonsending) func rollback(_ view: String) async throws(ViewStoreError) -> GenerationStatus

  /// Ends a generation that is not live: a building one is cancelled, any other dropped, with its rows.
  nonisolated(nonsending) func drop(_ view: String, generation: Int) async throws(ViewStoreError) -> GenerationStatus

  /// Ends a view. Its generations stop counting and are kept for a time, in which applying the view again brings them back as
  /// they were.
  /// - Parameters:
  ///   - view: The view's name.
  ///   - purgeAfter: Nanoseconds, 0 or more.
  nonisolated(nonsending) func remove(_ view: String, purgeAfter: Int64) async throws(ViewStoreError) -> ViewRemoval

  /// The rows of two generations as of the same offsets.
  nonisolated(nonsending) func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults

  /// Computes a generation once more from the log, in memory, up to the offsets it has counted, and compares.
  nonisolated(nonsending) func verify(_ view: String, generation: Int?, timeout: Duration) async throws(ViewStoreError)
    -> VerifyReport
}

/// The result of `apply` for one view.
public struct AppliedView: Sendable, Hashable {
  public enum Action: String, Sendable {
    /// The definition is the one last asked for, or the live generation's: nothing was done.
    case unchanged
    /// A new view: its first generation is live at once, and fills up.
    case created
    case building
    /// A kept generation of this definition took over.
    case promoted
    /// A kept generation of this definition waits to be promoted.
    case held
    /// A removed view is there again, as it was.
    case restored
    /// The file of views has the same definition as before, and the view was removed since: it stays removed.
    case removed
  }
  public var view: String
  public var generation: Int
  public var action: Action

  public init(view: String, generation: Int, action: Action) {
    self.view = view
    self.generation = generation
    self.action = action
  }
}

/// The beginning or the end of a replay.
public enum ReplayBound: Sendable, Hashable {
  case earliest
  /// Events of this event time or later, or before it, wherever they lie in the log.
  case time(Timestamp)
  /// A partition that is not named begins at its start.
  case offsets(OffsetVector)
}

public struct ReplayRequest: Sendable, Hashable {
  public var view: String
  public var from: ReplayBound
  /// Nil: to the end, and on.
  public var to: ReplayBound?
  /// Whether to take over once it has caught up.
  public var promotes: Bool
  /// Nanoseconds; nil takes the live definition's. A longer one counts events that were late.
  public var allowedLateness: Int64?

  public init(
    view: String, from: ReplayBound = .earliest, to: ReplayBound? = nil, promotes: Bool = false, allowedLateness: Int64? = nil
  ) {
    self.view = view
    self.from = from
    self.to = to
    self.promotes = promotes
    self.allowedLateness = allowedLateness
  }
}

public struct ReplayEstimate: Sendable, Hashable {
  public var from: OffsetVector
  public var to: OffsetVector
  public var events: Int
  /// Measured on a first part of the events just now; nil when there was none.
  public var eventsPerSecond: Double?

  public init(from: OffsetVector, to: OffsetVector, events: Int, eventsPerSecond: Double?) {
    self.from = from
    self.to = to
    self.events = events
    self.eventsPerSecond = eventsPerSecond
  }

  public var seconds: Double? { eventsPerSecond.map { Double(events) / max($0, 1) } }
}

public struct PromoteRequest: Sendable, Hashable {
  public var view: String
  /// Nil for the newest that is held or builds.
  public var generation: Int?
  /// The most rows that may be added, gone or changed; nil for any number. 0 is `--if-same`.
  public var changesMax: Int?
  public var timeout: Duration

  public init(view: String, generation: Int? = nil, changesMax: Int? = nil, timeout: Duration = .seconds(30)) {
    self.view = view
    self.generation = generation
    self.changesMax = changesMax
    self.timeout = timeout
  }
}

public struct PinnedRequest: Sendable, Hashable {
  public var view: String
  public var first: Int
  public var second: Int
  public var timeout: Duration

  public init(view: String, first: Int, second: Int, timeout: Duration = .seconds(30)) {
    self.view = view
    self.first = first
    self.second = second
    self.timeout = timeout
  }
}

/// Two results with the same `asOf`.
public struct PinnedResults: Sendable {
  public var first: PartialResult
  public var second: PartialResult

  public init(first: PartialResult, second: PartialResult) {
    precondition(first.asOf == second.asOf, "both are as of the same offsets")
    self.first = first
    self.second = second
  }
}

extension PromoteRequest {
  /// Refuses a promotion whose generation differs from the live one in more rows than allowed.
  public static func check(
    _ pair: PinnedResults, changesMax: Int
  ) throws(ViewStoreError) {
    // Rows that a gate compares are counted, not kept.
    let differences = RowDifferences(pair, rowsMax: 0)
    guard differences.count <= changesMax, changesMax > 0 || differences.isSame else {
      throw .refused(
        code: "generations_differ",
        detail:
          "\(pair.second.definition.name) generation \(pair.second.generation) differs from \(pair.first.generation), the live one, in "
          + "\(differences.count) rows (\(differences.added) added, \(differences.gone) gone, \(differences.changed) changed) as of "
          + "\(pair.first.asOf)" + (changesMax == 0 ? "" : "; \(changesMax) are allowed") + ": it is not promoted")
    }
  }

  /// The error for a gate on a generation that still builds.
  public static func notCaughtUp(_ view: String, _ generation: Int) -> ViewStoreError {
    .refused(
      code: "not_caught_up",
      detail: "\(view) generation \(generation) still builds: it can be compared with the live one when it has caught up")
  }
}

/// The result of computing a generation once more.
public struct VerifyReport: Sendable, Hashable {
  public struct Partition: Sendable, Hashable {
    public var partition: PartitionID
    /// The offset of both states.
    public var offset: Offset
    public var rows: Int
    public var kept: StateHash
    public var replayed: StateHash

    public init(partition: PartitionID, offset: Offset, rows: Int, kept: StateHash, replayed: StateHash) {
      self.partition = partition
      self.offset = offset
      self.rows = rows
      self.kept = kept
      self.replayed = replayed
    }
  }

  /// The first row that differs, in the order of partition, window and key.
  public struct Difference: Sendable, Hashable {
    public var partition: PartitionID
    public var windowStart: Timestamp
    public var keys: [ResultValue]
    /// The aggregates' values; nil where there is no such row.
    public var kept: [ResultValue]?
    public var replayed: [ResultValue]?

    public init(
      partition: PartitionID, windowStart: Timestamp, keys: [ResultValue], kept: [ResultValue]?, replayed: [ResultValue]?
    ) {
      self.partition = partition
      self.windowStart = windowStart
      self.keys = keys
      self.kept = kept
      self.replayed = replayed
    }
  }

  public var definition: ViewDefinition
  public var generation: Int
  public var partitions: [Partition]
  public var difference: Difference?

  public init(definition: ViewDefinition, generation: Int, partitions: [Partition], difference: Difference?) {
    self.definition = definition
    self.generation = generation
    self.partitions = partitions
    self.difference = difference
  }

  public var isSame: Bool { partitions.allSatisfy { $0.kept == $0.replayed } }
  public var asOf: OffsetVector { OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.offset) })) }
}
