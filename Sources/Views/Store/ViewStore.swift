import Events
import Expressions

/// The seam between clients that read views and the stores that keep them: the workers of this process, or workers over the wire.
///
/// A store answers for the partitions it owns; a client of several merges their answers.
public protocol ViewStore: Sendable {
  /// Every view with its generation and each partition's progress.
  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus]

  /// The rows of a view, one for each partition, window and key, with aggregates that can still be merged.
  ///
  /// The rows of one partition are all as of the offset that `PartialResult.asOf` has for it: no event before it is missing,
  /// none from it on is counted.
  /// - Throws: `ViewStoreError.timeout` when `request.after` is not reached in time; `.missingPartitions` when no one owns some
  ///   partition: never a smaller sum instead.
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult

  /// The rows of one key, if they can be had without waiting: they are in memory, their worker is idle, and there are few.
  ///
  /// May be called on an event loop.
  /// - Parameter request: A request with a `key`.
  /// - Returns: The result of `read`; nil when `read` must be called, whatever the reason, errors included.
  func readAtOnce(_ request: ViewReadRequest) -> PartialResult?

  /// The same rows, merged and in the order of window start and key, without holding them all.
  ///
  /// - Returns: Nil when the store cannot give the rows piece by piece, in which case `read` can; also for
  ///   `request.asOf`, and for sessions of several partitions, which are joined when all are known.
  /// - Throws: The errors of `read`.
  nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream?

  /// The events that the stored rows of each view's live generation count, beside the expected number. It costs a pass
  /// over the rows, so it may be some time old: at most a twentieth of the time goes into it.
  nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally]

  /// For a generation whose rows have parts in several partitions: notes the event-time watermark of the slowest
  /// partition of the log, as a client of all stores has found it. Parts past retention by it may be dropped.
  func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp)
}

extension ViewStore {
  public nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] { [] }

  public func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp) {}

  public func readAtOnce(_ request: ViewReadRequest) -> PartialResult? { nil }

  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? { nil }
}

public struct ViewReadRequest: Sendable, Hashable {
  public var view: String
  /// The live generation when nil.
  public var generation: Int?
  /// On `window_start`, inclusive.
  public var from: Timestamp?
  /// On `window_start`, exclusive.
  public var to: Timestamp?
  /// Wait until these offsets are counted.
  public var after: OffsetVector?
  /// How long to wait for `after`, and for the answer.
  public var timeout: Duration
  /// A condition over the key columns. A store may use it to send less; it need not, so the client applies it again.
  public var keyFilter: Expression?
  /// The only key, in `KeyCodec`'s form, that meets `keyFilter`, if the client has found that there is just one.
  public var key: [UInt8]?
  /// Reads the rows as they were when exactly these offsets had been counted; a partition that is not named counts nothing. Nil
  /// for the present.
  public var asOf: OffsetVector?
  /// The partitions to answer for: `.missingPartitions` when the store does not own them all. Nil for all of the log's.
  public var partitions: Set<PartitionID>?
  /// Whether to leave out partitions that nobody answers for, and name them in `PartialResult.missing`.
  public var allowsPartial: Bool

  public init(
    view: String, generation: Int? = nil, from: Timestamp? = nil, to: Timestamp? = nil, after: OffsetVector? = nil,
    timeout: Duration = .seconds(5), keyFilter: Expression? = nil, key: [UInt8]? = nil,
    asOf: OffsetVector? = nil,
    partitions: Set<PartitionID>? = nil, allowsPartial: Bool = false
  ) {
    self.view = view
    self.generation = generation
    self.from = from
    self.to = to
    self.after = after
    self.timeout = timeout
    self.keyFilter = keyFilter
    self.key = key
    self.asOf = asOf
    self.partitions = partitions
    self.allowsPartial = allowsPartial
  }
}

/// The reason why a store could not answer.
public enum ViewStoreError: Error, Sendable, Hashable, CustomStringConvertible {
  case unknownView(String, known: [String])
  case unknownGeneration(Int, view: String, known: [Int])
  /// `after` was not reached: the partitions' present offsets.
  case timeout(reached: OffsetVector)
  /// Nobody owns these.
  case missingPartitions([PartitionID])
  /// The log no longer has the events of a past state: its present start.
  case asOfUnreachable(logStarts: OffsetVector, detail: String)
  /// The request does not fit the present state; `code` is stable, for programs.
  case refused(code: String, detail: String)
  /// Counted results cannot be used: the log is another one, or has lost counted events. It stays so until an operator
  /// acts; `code` is stable, for programs.
  case unusable(code: String, detail: String)
  /// The store is stopping, or not ready yet: try again.
  case unavailable(String)
  /// An internal failure, in words.
  case failed(String)

  public var description: String {
    switch self {
    case .unknownView(let name, let known):
      let hint =
        nearest(to: name, among: known).map { "did you mean \($0)?" }
        ?? (known.isEmpty ? "there are none" : "there are \(known.joined(separator: ", "))")
      return "there is no view '\(name.prefix(64))': \(hint)"
    case .unknownGeneration(let generation, let view, let known):
      return "view \(view) has no generation \(generation): it has \(known.map(String.init).joined(separator: ", "))"
    case .timeout(let reached): return "the offsets asked for were not reached in time; reached were \(reached)"
    case .missingPartitions(let partitions):
      return "no worker answers for partition \(partitions.map(\.description).joined(separator: ", "))"
    case .asOfUnreachable(_, let detail), .refused(_, let detail), .unusable(_, let detail): return detail
    case .unavailable(let detail): return "views are not available now: \(detail)"
    case .failed(let detail): return "reading the view failed: \(detail)"
    }
  }
}
