import Events
import Expressions

/// The seam between those who answer for views and those who keep them: the workers of this process, or workers over the wire.
///
/// A store answers for the partitions it owns; whoever asks several merges what they say.
public protocol ViewStore: Sendable {
  /// Every view with its generation and how far each partition has come.
  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus]

  /// The rows of a view, one for each partition, window and key, with aggregates still open to merging.
  ///
  /// The rows of one partition are all as of the offset that `PartialResult.asOf` has for it: no event before it is missing,
  /// none from it on is counted.
  /// - Throws: `ViewStoreError.timeout` when `request.after` is not reached in time; `.missingPartitions` when no one owns some
  ///   partition: never a smaller sum instead.
  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult

  /// The rows of one key, where they can be had without waiting for anything: they are in memory, nobody is busy with them, and there are few.
  ///
  /// May be called on an event loop.
  /// - Parameter request: With a `key`.
  /// - Returns: As `read`; nil when that has to be asked, whatever the reason: it says what is wrong, too.
  func readAtOnce(_ request: ViewReadRequest) -> PartialResult?

  /// The same rows, merged and in the order of window start and key, without holding them all.
  ///
  /// - Returns: Nil when the store cannot give what is asked a piece at a time, in which case `read` can; also for `request.asOf`, and
  ///   for sessions of several partitions, which are joined when all are known.
  /// - Throws: As `read`.
  nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream?

  /// What the stored rows of each view's live generation count, beside what they should. Costs a pass over the rows, so it may be some time old: no more
  /// than a twentieth of the time goes into it.
  nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally]

  /// Of a generation whose rows have parts in several partitions: how far the slowest partition of the log has come, as whoever asks all stores has found.
  /// Parts that retention has passed by it may be dropped.
  func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp)
}

extension ViewStore {
  public nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] { [] }

  public func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp) {}

  public func readAtOnce(_ request: ViewReadRequest) -> PartialResult? { nil }

  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? { nil }
}

/// What rows to read.
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
  /// A condition over the key columns. A store may use it to send less; it need not, so the asker applies it again.
  public var keyFilter: Expression?
  /// The one key, as `KeyCodec` encodes it, that fulfils `keyFilter`, where the asker has found that there is but one.
  public var key: [UInt8]?
  /// The rows as they were when exactly these offsets had been counted; a partition that is not named counts nothing. The present when nil.
  public var asOf: OffsetVector?
  /// Those to answer for: `.missingPartitions` when the store does not own them all. All of the log's when nil.
  public var partitions: Set<PartitionID>?
  /// With partitions that nobody answers for, take the others' rows, and say so in `PartialResult.missing`.
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

/// Why a store could not answer.
public enum ViewStoreError: Error, Sendable, Hashable, CustomStringConvertible {
  case unknownView(String, known: [String])
  case unknownGeneration(Int, view: String, known: [Int])
  /// `after` was not reached: how far the partitions had come.
  case timeout(reached: OffsetVector)
  /// Nobody owns these.
  case missingPartitions([PartitionID])
  /// The log no longer holds what a past state is made of: where it starts now.
  case asOfUnreachable(logStarts: OffsetVector, detail: String)
  /// What was asked does not fit the state of things; `code` is stable, for programs.
  case refused(code: String, detail: String)
  /// What was counted cannot be answered with: the log is another one, or has lost what was counted of it. Stays so until somebody acts;
  /// `code` is stable, for programs.
  case unusable(code: String, detail: String)
  /// The store is stopping, or not ready yet: try again.
  case unavailable(String)
  /// Something broke; says what.
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
