import Events
import Views

/// The events that a replay counts, of the log as it is when the plan is made.
struct ReplayPlan: Sendable {
  private static let estimateTime = Duration.milliseconds(300)

  private(set) var definition: ViewDefinition
  private(set) var from = OffsetVector()
  private(set) var to: OffsetVector?
  private(set) var times = EventTimeBounds.all
  /// The offsets that can be counted now.
  private var ranges: [(partition: PartitionID, from: Offset, to: Offset)] = []

  init(_ request: ReplayRequest, of live: GenerationRecord, _ log: any EventLog) async throws(ViewStoreError) {
    guard !request.promotes || request.to == nil else {
      throw .refused(
        code: "replay_bounded",
        detail: "a replay that ends counts no more events, so it cannot be promoted: leave out 'to' or 'promote'")
    }
    definition = live.definition
    if let lateness = request.allowedLateness { definition = definition.with(allowedLateness: lateness) }
    if case .time(let time) = request.from { times.from = time.nanoseconds }
    if case .time(let time)? = request.to { times.to = time.nanoseconds }
    if request.to != nil { to = OffsetVector() }
    for number in 0..<log.partitionCount {
      let partition = PartitionID(number)
      let bounds = try await ReplayPlan.bounds(of: partition, log)
      let first = try await ReplayPlan.firstOffset(request.from, partition, bounds, log)
      if first != bounds.startOffset || request.from != .earliest { from[partition] = first }
      if let end = request.to { to?[partition] = max(first, try ReplayPlan.endOffset(end, partition, bounds, first: first)) }
      ranges.append((partition, first, max(first, min(to?[partition] ?? bounds.highWatermark, bounds.highWatermark))))
    }
  }

  /// The replay's expected size and time.
  /// - Parameters:
  ///   - past: Counts a first part of the events.
  ///   - workers: Each has a replay of its own.
  func estimate(_ past: PastReader, workers: Int) async throws(ViewStoreError) -> ReplayEstimate {
    let rate = try await past.rate(definition, times, ranges, time: ReplayPlan.estimateTime)
    func vector(_ offset: KeyPath<(partition: PartitionID, from: Offset, to: Offset), Offset>) -> OffsetVector {
      OffsetVector(Dictionary(uniqueKeysWithValues: ranges.map { ($0.partition, $0[keyPath: offset]) }))
    }
    return ReplayEstimate(
      from: vector(\.from), to: vector(\.to), events: ranges.reduce(0) { $0 + $1.from.distance(to: $1.to) },
      eventsPerSecond: rate.map { $0 * Double(min(workers, max(1, ranges.count { $0.from < $0.to }))) })
  }

  /// The offset at which a replay begins to read: no wanted event lies before it.
  private static func firstOffset(
    _ bound: ReplayBound, _ partition: PartitionID, _ bounds: PartitionBounds, _ log: any EventLog
  ) async throws(ViewStoreError) -> Offset {
    switch bound {
    case .earliest: return bounds.startOffset
    case .offsets(let offsets):
      guard let offset = offsets[partition] else { return bounds.startOffset }
      return try within(offset, partition, bounds)
    case .time(let time):
      do throws(LogError) {
        let found = try await log.firstOffset(of: partition, atOrAfter: time) ?? bounds.highWatermark
        return min(max(found, bounds.startOffset), bounds.highWatermark)
      } catch {
        throw .failed(error.description)
      }
    }
  }

  /// The offset at which a replay with an end stops reading. Events of any time lie anywhere, so a replay that ends at a time
  /// reads the whole log as it is now.
  private static func endOffset(
    _ bound: ReplayBound, _ partition: PartitionID, _ bounds: PartitionBounds, first: Offset
  ) throws(ViewStoreError) -> Offset {
    switch bound {
    case .earliest: return first
    case .offsets(let offsets):
      guard let offset = offsets[partition] else { return first }
      return try within(offset, partition, bounds)
    case .time: return bounds.highWatermark
    }
  }

  private static func within(
    _ offset: Offset, _ partition: PartitionID, _ bounds: PartitionBounds
  ) throws(ViewStoreError) -> Offset {
    guard offset >= bounds.startOffset else {
      throw PastReader.unreachable(offset, partition, logStart: bounds.startOffset)
    }
    guard offset <= bounds.highWatermark else {
      throw .refused(
        code: "offset_ahead", detail: "partition \(partition) ends at offset \(bounds.highWatermark), before \(offset)")
    }
    return offset
  }

  private static func bounds(of partition: PartitionID, _ log: any EventLog) async throws(ViewStoreError) -> PartitionBounds {
    do throws(LogError) { return try await log.bounds(of: partition) } catch { throw .failed(error.description) }
  }
}
