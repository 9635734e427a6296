import Events
import Foundation
import SQLite

extension CheckpointStore {
  /// The log that the file's state is of; nil where that is not known yet.
  func log() throws(ComputeError) -> LogIdentity? { try typed { try file.withWriter { try CheckpointSchema.log($0) } } }

  func setLog(_ log: LogIdentity) throws(ComputeError) {
    try typed { try file.write { try CheckpointSchema.setLog(log, $0) } }
  }

  /// Keeps in mind that the log has lost what the state counts: by the next start it may have grown beyond, with other events.
  func setBehind() throws(ComputeError) {
    try typed { try file.write { try $0.run("INSERT OR REPLACE INTO meta VALUES ('log_behind', 1)") } }
  }

  func isBehind() throws(ComputeError) -> Bool {
    try typed { try file.withWriter { try $0.first("SELECT value FROM meta WHERE name = 'log_behind'") { $0.int(0) } != nil } }
  }

  /// Puts a closed file aside, and the copies kept of it.
  /// - Parameter log: That its state is of, where that is known.
  func putAside(of log: LogIdentity?) {
    let suffix = "of-\(log?.description ?? "another-log")"
    CheckpointStore.putAside(path, suffix, "is of another log than the one that is accepted", logger)
    let kept = (path as NSString).deletingLastPathComponent + "/kept"
    if FileManager.default.fileExists(atPath: kept) { rename(kept, "\(kept)-\(suffix)") }
  }
}
