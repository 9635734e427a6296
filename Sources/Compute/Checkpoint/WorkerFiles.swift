import Events
import Foundation
import Logging
import Views

/// The files of all workers, at start: which generation each view has, and whose file holds each partition.
struct WorkerFiles {
  let stores: [CheckpointStore]
  /// Files of workers there were more of before: their partitions move to the present ones.
  private let surplus: [CheckpointStore]

  init(directory: String, workers: Int, lateMax: Int, logger: Logger) throws(ComputeError) {
    let files = FileManager.default
    var stores: [CheckpointStore] = []
    for worker in 0..<workers {
      let folder = "\(directory)/\(worker)"
      do { try files.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
        throw ComputeError(.checkpoint, worker: worker, "making the folder \(folder): \(error.localizedDescription)")
      }
      stores.append(try CheckpointStore(directory: folder, worker: worker, lateMax: lateMax, logger: logger))
    }
    self.stores = stores
    var surplus: [CheckpointStore] = []
    var worker = workers
    while files.fileExists(atPath: "\(directory)/\(worker)/\(CheckpointStore.fileName)") {
      surplus.append(
        try CheckpointStore(directory: "\(directory)/\(worker)", worker: worker, lateMax: lateMax, logger: logger))
      worker += 1
    }
    self.surplus = surplus
  }

  /// What all files have rows of.
  func known() throws(ComputeError) -> [CheckpointStore.KnownGeneration] {
    var known: [CheckpointStore.KnownGeneration] = []
    for store in stores + surplus { known += try store.knownGenerations() }
    return known
  }

  /// Brings each partition's state into its worker's file, when the number of workers has changed. A crash in between leaves copies; the one that
  /// has come furthest counts.
  func assign(_ generations: [GenerationRecord], partitionCount: Int) throws(ComputeError) {
    let all = stores + surplus
    for generation in generations {
      for partition in 0..<partitionCount {
        let owner = partition % stores.count
        var best: (store: Int, next: Int64)?
        for index in [owner] + all.indices.filter({ $0 != owner }) {
          let next = try all[index].nextOffset(of: generation.id, PartitionID(partition))
          if let next, next > best?.next ?? -1 { best = (index, next) }
        }
        guard let best else { continue }
        if best.store != owner { try stores[owner].take(generation, PartitionID(partition), from: all[best.store]) }
        for index in all.indices where index != owner { try all[index].forget(generation.id, PartitionID(partition)) }
      }
    }
    for store in surplus { store.close() }
  }
}
