import Events
import Synchronization
import Views

/// Which of the log's partitions are here, and the workers that fold them.
///
/// A partition is owned, handed over or not here. One that is handed over is counted and answered for until it is released: rows
/// are as of their offsets, whoever gives them, and of two that answer the one further on counts.
public final class PartitionOwnership: Sendable {
  private struct Held {
    var owned: Set<PartitionID> = []
    /// Partitions that another process owns or is to own: they are counted and answered for until that process answers for them.
    var handedOver: Set<PartitionID> = []
  }

  let workers: [ComputeWorker]
  let partitionCount: Int
  private let fence: PartitionFence
  private let neighbours: Neighbours?
  private let held = Mutex(Held())
  private let running = Mutex<[Task<Void, Never>]>([])

  init(_ workers: [ComputeWorker], partitionCount: Int, fence: PartitionFence, neighbours: Neighbours?) {
    self.workers = workers
    self.partitionCount = partitionCount
    self.fence = fence
    self.neighbours = neighbours
  }

  func start() {
    running.withLock { running in
      precondition(running.isEmpty, "the workers run already")
      running = workers.map { worker in Task { await worker.run() } }
    }
  }

  /// Stops reading, checkpoints, closes the files.
  func stop() async {
    let tasks = running.withLock { running in
      defer { running = [] }
      return running
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    for worker in workers {
      await worker.replays.stop()
      await worker.close()
    }
  }

  // MARK: taking and letting go

  /// Takes partitions over: their state comes from the local files, or from a neighbour's if that is further on; else they begin
  /// at the log's start.
  /// - Parameter generations: All that are kept. None may begin or end meanwhile.
  func own(_ partitions: Set<PartitionID>, _ generations: [GenerationRecord]) async throws(ComputeError) {
    for partition in partitions.sorted() {
      try await worker(of: partition).own(partition, generations, neighbours)
      held.withLock { held in
        held.owned.insert(partition)
        held.handedOver.remove(partition)
      }
    }
  }

  /// Owns partitions no more: their state is checkpointed, where the fence still allows it. They are counted and answered for
  /// until `release`, since nobody else may answer for them yet.
  public func handOver(_ partitions: Set<PartitionID>) async {
    let given = held.withLock { held in
      let given = held.owned.intersection(partitions)
      held.owned.subtract(given)
      held.handedOver.formUnion(given)
      return given
    }
    for number in Set(given.map { worker(of: $0).number }) { await workers[number].checkpointNow() }
  }

  /// Releases partitions: their state is checkpointed, if the fence still allows it, and then forgotten.
  public func release(_ partitions: Set<PartitionID>) async {
    for partition in partitions.sorted() {
      held.withLock { held in
        held.owned.remove(partition)
        held.handedOver.remove(partition)
      }
      await worker(of: partition).release(partition)
    }
  }

  // MARK: owned partitions

  func worker(of partition: PartitionID) -> ComputeWorker { workers[partition.index % workers.count] }

  func share(of worker: ComputeWorker, _ partitions: Set<PartitionID>) -> Set<PartitionID> {
    partitions.filter { $0.index % workers.count == worker.number }
  }

  var all: Set<PartitionID> { Set((0..<partitionCount).map { PartitionID($0) }) }

  /// The partitions that are owned, and not fenced off.
  public var owned: Set<PartitionID> { held.withLock { $0.owned }.filter { fence.mayAct($0) } }

  /// The partitions whose rows are here, and can be read, even if their lease is not certain or they are handed over.
  var answered: Set<PartitionID> { held.withLock { $0.owned.union($0.handedOver) } }

  /// Whether all of the log's partitions are here.
  var ownsAll: Bool { held.withLock { $0.owned.count == partitionCount } }

  /// The partitions asked for; all of them must be here.
  /// - Parameters:
  ///   - partitions: The partitions; nil for all of the log's.
  ///   - allowsPartial: Whether the partitions that are here are enough.
  func wanted(_ partitions: Set<PartitionID>?, allowsPartial: Bool = false) throws(ViewStoreError) -> Set<PartitionID> {
    let wanted = partitions ?? all
    let answered = answered
    if allowsPartial { return wanted.intersection(answered) }
    let missing = wanted.subtracting(answered)
    guard missing.isEmpty else { throw .missingPartitions(missing.sorted()) }
    return wanted
  }

  // MARK: how far they are

  func progress(of id: GenerationID) async -> [PartitionProgress] {
    var partitions: [PartitionProgress] = []
    for worker in workers { partitions += await worker.progress(of: id) }
    partitions.sort { $0.partition < $1.partition }
    return partitions
  }

  func counted(of id: GenerationID) async -> OffsetVector {
    OffsetVector(Dictionary(uniqueKeysWithValues: await progress(of: id).map { ($0.partition, $0.nextOffset) }))
  }

  /// The lowest offset of each owned partition that some kept generation has not counted and checkpointed: the log must keep the
  /// events from there on.
  public func neededOffsets() async -> OffsetVector {
    var needed = OffsetVector()
    for worker in workers { needed.offsets.merge(await worker.neededOffsets().offsets) { min($0, $1) } }
    return needed
  }

  /// The problem that keeps the workers from their work; nil when there is none.
  func problem() async -> String? {
    for worker in workers { if let problem = await worker.problem { return "worker \(worker.number): \(problem)" } }
    return nil
  }
}
