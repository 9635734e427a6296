import Events
import Foundation
import Logging

/// The last rejects in the data folder, so that a restart does not forget them. The file is written whole from time to time, and
/// not synced: a crash may lose the last second's rejects, a damaged file loses all, and neither stops a service from starting.
struct RejectsFile: Sendable {
  /// The rejects of one process, under the name that it has drawn; `penstock up` itself has no name.
  typealias Instance = (name: String, entries: [RecentRejects.Entry])

  static let name = "rejects.json"
  private static let version: Int64 = 1
  private static let interval = Duration.seconds(1)
  /// A bound far above the size that a few processes' rejects reach.
  private static let bytesMax = 32 << 20

  let path: String
  let logger: Logger

  init(folder: String, logger: Logger) {
    path = folder + "/" + RejectsFile.name
    self.logger = logger
  }

  /// The rejects stored in the file; none where there is no file, or none that can be read.
  func read() -> [Instance] {
    let text: String
    switch readText(path, bytesMax: RejectsFile.bytesMax) {
    case .success(let content): text = content
    case .failure(.missing): return []
    case .failure(let failure):
      logger.warning("the rejects of before are forgotten: \(path): \(failure)")
      return []
    }
    guard let json = try? JSONValue(parsing: text), json["version"] == .int(RejectsFile.version),
      case .array(let told)? = json["instances"]
    else {
      logger.warning("the rejects of before are forgotten: \(path) is damaged, or of another version")
      return []
    }
    return told.compactMap { instance in
      guard case .string(let name)? = instance["name"], let entries = RecentRejects.Entry.list(instance["rejects"]) else {
        return nil
      }
      return (name, entries)
    }
  }

  /// Writes the rejects whenever they have changed, until the task is cancelled, and then once more.
  /// - Parameters:
  ///   - change: Rises with each reject.
  ///   - instances: The rejects to store.
  func keep(change: @Sendable () -> Int, _ instances: @Sendable () -> [Instance]) async {
    var written = change()
    while true {
      // Cancelled: the last round.
      do { try await Task.sleep(for: RejectsFile.interval) } catch {}
      let present = change()
      if present != written {
        write(instances())
        written = present
      }
      if Task.isCancelled { return }
    }
  }

  private func write(_ instances: [Instance]) {
    let told = instances.map { instance -> JSONValue in
      ["name": .string(instance.name), "rejects": .array(instance.entries.map(\.json))]
    }
    var bytes: [UInt8] = []
    let content: JSONValue = ["version": .int(RejectsFile.version), "instances": .array(told)]
    content.write(to: &bytes)
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      logger.warning("the last rejects are not kept: \(path): \(error.localizedDescription)")
    }
  }
}
