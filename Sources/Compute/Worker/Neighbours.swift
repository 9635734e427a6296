import Events
import Foundation
import Logging

/// State files of other compute instances on this machine: a partition's new owner begins with one, instead of at the log's
/// start.
struct Neighbours: Sendable {
  /// The most folders of a folder that are looked at.
  private static let foldersMax = 256

  /// The folder with the data folders of all instances: `FOLDER/<instance>/compute/<worker>/state.sqlite`.
  let folder: String
  /// This instance's own folder of workers.
  let own: String
  let logger: Logger

  /// Copies a partition's state from neighbours' files into the worker's file, if they have counted further.
  ///
  /// A state is a function of the log up to its offset, so the furthest file is as good as any. An unreadable file
  /// costs only the time to read the log.
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
    // A folder that is missing, or not ours to read, has no state for us.
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
