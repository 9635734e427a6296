import Events
import SQLite

/// Which log a worker's state is of.
struct StoredLogIdentity: Sendable {
  let file: CheckpointFile

  /// Nil where that is not known yet.
  func identity() throws(ComputeError) -> LogIdentity? { try file.withWriter { try CheckpointSchema.log($0) } }

  func set(_ log: LogIdentity) throws(ComputeError) { try file.write { try CheckpointSchema.setLog(log, $0) } }

  /// Notes that the log has lost events that the state counts: by the next start the log may have grown beyond, with other
  /// events.
  func setBehind() throws(ComputeError) {
    try file.write { try $0.run("INSERT OR REPLACE INTO meta VALUES ('log_behind', 1)") }
  }

  func isBehind() throws(ComputeError) -> Bool {
    try file.withWriter { try $0.first("SELECT value FROM meta WHERE name = 'log_behind'") { $0.int(0) } != nil }
  }
}
