import Events
import Synchronization

/// Collects the reads of several callers that may wait a little, so that they go to the log in one request.
final class GatheredReads: Sendable {
  /// A request, and the callers that wait for its answer.
  private final class Journey: Sendable {
    struct State {
      var positions = OffsetVector()
      var callers: [UInt64: (partitions: Set<PartitionID>, continuation: CheckedContinuation<[PartitionRead], Never>)] = [:]
      var task: Task<Void, Never>?
    }
    let state = Mutex(State())
  }

  /// The request that has not begun.
  private let next = Mutex<Journey?>(nil)
  private let numbers = Atomic<UInt64>(0)
  private let sleep: @Sendable (ContinuousClock.Instant) async -> Void

  /// - Parameter sleep: Returns at the given time, or sooner when cancelled.
  init(sleep: @escaping @Sendable (ContinuousClock.Instant) async -> Void = { try? await Task.sleep(until: $0) }) {
    self.sleep = sleep
  }

  /// The number of callers that wait for the request that has not begun.
  var waitingCount: Int { next.withLock { $0?.state.withLock { $0.callers.count } ?? 0 } }

  /// Reads together with the callers that come until `departure`.
  /// - Parameters:
  ///   - positions: The offsets, as for `EventLog.readSome`.
  ///   - departure: The time at which the request begins at the latest.
  ///   - read: Reads for all callers that have come.
  /// - Returns: Some of the partitions, or none: when others' took all the room, when an earlier caller asks for one of them, or
  ///   when cancelled.
  nonisolated(nonsending) func read(
    from positions: OffsetVector, at departure: ContinuousClock.Instant,
    _ read: @escaping @Sendable (OffsetVector) async -> [PartitionRead]
  ) async -> [PartitionRead] {
    let id = numbers.add(1, ordering: .relaxed).newValue
    let partitions = Set(positions.offsets.keys)
    let journey = next.withLock { next in
      let journey = next ?? Journey()
      next = journey
      return journey
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isTaken = next.withLock { next in
          // The request may have begun meanwhile.
          guard next === journey else { return false }
          return journey.state.withLock { state in
            guard !Task.isCancelled, partitions.isDisjoint(with: state.positions.offsets.keys) else { return false }
            state.positions.formMaximum(positions)
            state.callers[id] = (partitions, continuation)
            if state.task == nil { state.task = Task { await self.run(journey, at: departure, read) } }
            return true
          }
        }
        if !isTaken { continuation.resume(returning: []) }
      }
    } onCancel: {
      let (continuation, abandoned) = journey.state.withLock { state in
        let caller = state.callers.removeValue(forKey: id)
        return (caller?.continuation, caller != nil && state.callers.isEmpty ? state.task : nil)
      }
      abandoned?.cancel()
      continuation?.resume(returning: [])
    }
  }

  private func run(
    _ journey: Journey, at departure: ContinuousClock.Instant, _ read: @Sendable (OffsetVector) async -> [PartitionRead]
  ) async {
    // Cancelled when nobody waits any more: the read then ends soon.
    await sleep(departure)
    next.withLock { if $0 === journey { $0 = nil } }
    let reads = await read(journey.state.withLock { $0.positions })
    let callers = journey.state.withLock { state in
      defer { state.callers = [:] }
      return state.callers
    }
    for caller in callers.values {
      caller.continuation.resume(returning: reads.filter { caller.partitions.contains($0.partition) })
    }
  }
}
