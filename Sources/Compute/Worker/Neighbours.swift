import Events
import Foundation
import Logging

/// State files of other compute instances on this machine: where a partition's new owner begins, instead of at the log's start.
struct Neighbours: Sendable {
  /// A folder's that are looked at.
  private static let foldersMax = 256

  /// Holds the data folders of all instances: `FOLDER/<instance>/compute/<worker>/state.sqlite`.
  let folder: String
  /// This instance's own folder of workers.
  let own: String
  let logger: Logger

  /// Brings what neighbours' files have of a partition into the worker's file, where they have counted further.
  ///
  /// A state is what the log makes of it up to its offset, so whichever file is furthest is as good as any. One that cannot be read costs
  /// nothing but the time to read the log.
  func bring(_ partition: PartitionID, _ generations: [GenerationRecord], into store: CheckpointStore) {
    for file in files() {
      for generation in generations {
        do throws(ComputeError) {
          if let next = try store.generations.take(generation, partition, from: file) {
            logger.info("partition \(partition) of \(generation.id) goes on at \(next), from \(file)")
          }
        } catch {
          logger.warning("\(file) is not read for partition \(partition) of \(generation.id): \(error)")
        }
      }
    }
  }

  private func files() -> [String] {
    let manager = FileManager.default
    let mine = URL(fileURLWithPath: own).standardizedFileURL.path
    var files: [String] = []
    // A folder that is not there, or not ours to read, has nothing for us.
    for instance in ((try? manager.contentsOfDirectory(atPath: folder)) ?? []).sorted().prefix(Neighbours.foldersMax) {
      let compute = URL(fileURLWithPath: "\(folder)/\(instance)/compute").standardizedFileURL.path
      guard compute != mine else { continue }
      for worker in ((try? manager.contentsOfDirectory(atPath: compute)) ?? []).sorted().prefix(Neighbours.foldersMax) {
        let file = "\(compute)/\(worker)/\(CheckpointFile.name)"
        if manager.fileExists(atPath: file) { files.append(file) }
      }
    }
    return files
  }
}
