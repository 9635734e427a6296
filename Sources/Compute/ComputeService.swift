import Events
import Foundation
import Logging
import Views

/// Keeps the views: splits the partitions over workers, runs them, and answers reads from all of them.
public final class ComputeService: ViewStore {
  private let workers: [ComputeWorker]
  private let views: [ComputeWorker.View]
  private let tasks: WorkerTasks
  private let logger: Logger

  /// Opens the workers' files and loads what they hold.
  public init(
    configuration: ComputeConfiguration, catalog: ViewCatalog, log: any EventLog, logger: Logger
  ) async throws(ComputeError) {
    self.logger = logger
    let wanted = configuration.workers > 0 ? configuration.workers : ProcessInfo.processInfo.activeProcessorCount
    let count = max(1, min(wanted, log.partitionCount))
    let files = try WorkerFiles(directory: configuration.directory, workers: count, logger: logger)
    let generations = try files.generations(of: catalog)
    try files.assign(generations, partitionCount: log.partitionCount)
    let metrics = ComputeMetrics()
    var workers: [ComputeWorker] = []
    for number in 0..<count {
      let ids = try files.stores[number].setViews(generations)
      let views = zip(generations, ids).map {
        ComputeWorker.View(definition: $0.definition, generation: $0.generation, id: $1)
      }
      let partitions = (0..<log.partitionCount).filter { $0 % count == number }.map { PartitionID($0) }
      workers.append(
        try await ComputeWorker(
          number: number, partitions: partitions, views: views, log: log, store: files.stores[number],
          configuration: configuration, metrics: metrics, logger: logger))
    }
    self.workers = workers
    views = generations.map { ComputeWorker.View(definition: $0.definition, generation: $0.generation, id: 0) }
    tasks = WorkerTasks()
  }

  public func start() { tasks.start(workers) }

  /// Stops reading, checkpoints, closes the files.
  public func shutDown() async {
    await tasks.stop()
    for worker in workers {
      do throws(ComputeError) { try await worker.close() } catch { logger.error("closing a worker: \(error)") }
    }
  }

  /// What keeps the workers from their work; nil when nothing does.
  public func problem() async -> String? {
    for worker in workers { if let problem = await worker.problem { return "worker \(worker.number): \(problem)" } }
    return nil
  }

  public nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    var result: [ViewStatus] = []
    for (index, view) in views.enumerated() {
      var partitions: [PartitionProgress] = []
      for worker in workers { partitions += await worker.progress(of: index) }
      partitions.sort { $0.partition < $1.partition }
      result.append(ViewStatus(definition: view.definition, generation: view.generation, partitions: partitions))
    }
    return result
  }

  public nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    guard let index = views.firstIndex(where: { $0.definition.name == request.view }) else {
      throw .unknownView(request.view, known: views.map(\.definition.name))
    }
    let view = views[index]
    if let generation = request.generation, generation != view.generation {
      throw .unknownGeneration(generation, view: request.view, known: [view.generation])
    }
    if let after = request.after {
      let deadline = ContinuousClock.now + request.timeout
      for worker in workers {
        guard await worker.wait(view: index, for: after, timeout: max(.zero, deadline - .now)) else {
          throw .timeout(reached: await reached(index))
        }
      }
    }
    var result = PartialResult(
      definition: view.definition, generation: view.generation, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: view.definition.layout.stride))
    let key = request.keyFilter?.pointKey(view.definition.keys.map(\.name))
    for worker in workers {
      let snapshot = await worker.snapshot(
        view: index, from: request.from?.nanoseconds ?? .min, to: request.to?.nanoseconds ?? .max, key: key)
      let rows: PartialRows
      do throws(ComputeError) {
        rows = try await worker.complete(snapshot, view.definition)
      } catch {
        throw .failed(error.description)
      }
      result.asOf.formMaximum(snapshot.asOf)
      result.eventTimeWatermarks.merge(snapshot.eventTimeWatermarks) { $1 }
      if result.rows.count == 0 { result.rows = rows } else { result.rows.append(contentsOf: rows) }
    }
    return result
  }

  private nonisolated(nonsending) func reached(_ view: Int) async -> OffsetVector {
    var offsets = OffsetVector()
    for worker in workers {
      for progress in await worker.progress(of: view) { offsets[progress.partition] = progress.nextOffset }
    }
    return offsets
  }
}
