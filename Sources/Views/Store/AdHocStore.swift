import Events

/// The seam between clients that ask for a one-off aggregation and the workers that compute it from the log.
public protocol AdHocStore: Sendable {
  /// Folds the log's events into rows of the definition, in parallel, and keeps nothing.
  ///
  /// Ends soon after the task is cancelled.
  nonisolated(nonsending) func aggregate(_ request: AdHocRequest) async throws(AdHocError) -> PartialResult
}

public struct AdHocRequest: Sendable, Hashable {
  public var definition: ViewDefinition
  /// A bound of the events' time, inclusive.
  public var from: Timestamp?
  /// Exclusive.
  public var to: Timestamp?
  /// The time after which it is abandoned.
  public var timeout: Duration
  /// The most rows held, over all partitions: the bound of its memory.
  public var rowsMax: Int
  /// The log's partitions to fold; nil for all.
  public var partitions: Set<PartitionID>?

  public init(
    definition: ViewDefinition, from: Timestamp?, to: Timestamp?, timeout: Duration, rowsMax: Int,
    partitions: Set<PartitionID>? = nil
  ) {
    self.definition = definition
    self.from = from
    self.to = to
    self.timeout = timeout
    self.rowsMax = rowsMax
    self.partitions = partitions
  }
}

/// The reason why an aggregation was not computed.
public enum AdHocError: Error, Sendable, Hashable, CustomStringConvertible {
  case timeout
  /// It has more rows than allowed.
  case tooLarge(rowsMax: Int)
  case log(LogError)
  /// Too many run already, or the workers are stopping: try again.
  case unavailable(String)
  case cancelled

  public var description: String {
    switch self {
    case .timeout: "the aggregation was not computed in time: narrow from and to, or pass a longer timeout"
    case .tooLarge(let rowsMax):
      "the aggregation has more than \(rowsMax) rows of window and key: narrow from and to, or take longer windows or fewer keys"
    case .log(let error): error.description
    case .unavailable(let detail): "aggregations are not computed now: \(detail)"
    case .cancelled: "cancelled"
    }
  }
}
