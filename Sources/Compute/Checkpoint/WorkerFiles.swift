import Events
import Foundation
import Logging
import Views

/// The files of all workers at start: they show each view's generations, and the partitions in each file.
struct WorkerFiles {
  let stores: [CheckpointStore]
  /// The reason why their state must not be used; nil when there is none.
  let refusal: String?
  /// Files of more workers than there are now: their partitions move to the present ones.
  private let surplus: [CheckpointStore]

  /// - Parameters:
  ///   - log: The log that they must belong to; files that do not name one yet are accepted.
  ///   - accepted: The log that may take another one's place.
  init(
    directory: String, workers: Int, lateMax: Int, log: LogIdentity, accepted: LogIdentity?, logger: Logger
  ) throws(ComputeError) {
    let files = FileManager.default
    var stores: [CheckpointStore] = []
    for worker in 0..<workers {
      let folder = "\(directory)/\(worker)"
      do { try files.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
        throw ComputeError(.checkpoint, worker: worker, "making the folder \(folder): \(error.localizedDescription)")
      }
      stores.append(try CheckpointStore(directory: folder, worker: worker, lateMax: lateMax, logger: logger))
    }
    var surplus: [CheckpointStore] = []
    var worker = workers
    while files.fileExists(atPath: "\(directory)/\(worker)/\(CheckpointFile.name)") {
      surplus.append(
        try CheckpointStore(directory: "\(directory)/\(worker)", worker: worker, lateMax: lateMax, logger: logger))
      worker += 1
    }
    var other: LogIdentity?
    for store in stores + surplus { if let its = try store.log.identity(), its != log { other = other ?? its } }
    if let other, accepted == log {
      logger.warning("log \(log) is accepted in place of \(other): the views are computed anew from it")
      (stores, surplus) = (try WorkerFiles.anew(stores, surplus, lateMax: lateMax, logger), [])
    }
    (self.stores, self.surplus) = (stores, surplus)
    var reason = accepted == log ? nil : other.map { WorkerFiles.refusal("the state in \(directory)", of: $0, log) }
    for store in stores + surplus where reason == nil {
      if try store.log.isBehind() { reason = WorkerFiles.behind(directory) }
    }
    refusal = reason
    guard refusal == nil else { return }
    for store in stores + surplus { if try store.log.identity() == nil { try store.log.set(log) } }
  }

  /// All files put aside, and begun anew: the live generations of their views stay.
  private static func anew(
    _ stores: [CheckpointStore], _ surplus: [CheckpointStore], lateMax: Int, _ logger: Logger
  ) throws(ComputeError) -> [CheckpointStore] {
    var table = try stores[0].generationCopy.load()
    table.beginAnew()
    var fresh: [CheckpointStore] = []
    for store in stores + surplus {
      let log = try store.log.identity()
      store.file.close()
      store.file.putAside(of: log)
      guard store.worker < stores.count else { continue }
      fresh.append(
        try CheckpointStore(
          directory: String(store.file.path.dropLast(CheckpointFile.name.count + 1)), worker: store.worker, lateMax: lateMax,
          logger: logger))
    }
    try fresh[0].generationCopy.save(table)
    return fresh
  }

  private static func behind(_ directory: String) -> String {
    "the state in \(directory) has counted events that the log had lost: what the log has had since is something else. Bring those events "
      + "back, or move \(directory) away: then the views are computed anew"
  }

  /// - Parameter state: The words for the state that was computed from `other`.
  static func refusal(_ state: String, of other: LogIdentity, _ log: LogIdentity) -> String {
    let former = other.isSameLog(as: log) ? "the log as it was before it was repaired, \(other)" : "another log, \(other)"
    return """
      \(state) was computed from \(former), and the log that is there is \(log): nothing is counted, and nothing answered. Bring that log \
      back, or set compute.accept_log to \(log): then the state is put aside, and the views are computed anew
      """
  }

  func known() throws(ComputeError) -> [KnownGeneration] {
    var known: [KnownGeneration] = []
    for store in stores + surplus { known += try store.generations.known() }
    return known
  }

  /// Brings each partition's state into its worker's file, when the number of workers has changed. A crash in between
  /// leaves copies; the furthest one counts.
  func assign(_ generations: [GenerationRecord], partitionCount: Int) throws(ComputeError) {
    let all = stores + surplus
    for generation in generations {
      for partition in 0..<partitionCount {
        let owner = partition % stores.count
        var best: (store: Int, next: Int64)?
        for index in [owner] + all.indices.filter({ $0 != owner }) {
          let next = try all[index].generations.nextOffset(of: generation.id, PartitionID(partition))
          if let next, next > best?.next ?? -1 { best = (index, next) }
        }
        guard let best else { continue }
        if best.store != owner {
          let next = try stores[owner].generations.take(generation, PartitionID(partition), from: all[best.store].file.path)
          stores[owner].file.logger.info(
            "worker \(owner) takes partition \(partition) of \(generation.id) over at \(next.map { "\($0)" } ?? "its start")")
        }
        for index in all.indices where index != owner {
          try all[index].generations.forget(generation.id, PartitionID(partition))
        }
      }
    }
    for store in surplus { store.file.close() }
  }
}
