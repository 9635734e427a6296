import Events

/// An operational failure of compute, with its place.
public struct ComputeError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// SQLite failed.
    case checkpoint
    /// The checkpoint has counted events that the log does not have.
    case logBehindCheckpoint = "log_behind_checkpoint"
    /// The state belongs to another log than the present one.
    case anotherLog = "another_log"
    /// A version that this program does not read wrote the state file.
    case incompatible
  }

  public var code: Code
  public var worker: Int?
  public var partition: PartitionID?
  public var detail: String

  public init(_ code: Code, worker: Int? = nil, partition: PartitionID? = nil, _ detail: String) {
    self.code = code
    self.worker = worker
    self.partition = partition
    self.detail = detail
  }

  public var description: String {
    var place: [String] = []
    if let worker { place.append("worker \(worker)") }
    if let partition { place.append("partition \(partition)") }
    return "compute: \(code.rawValue): \(detail)" + (place.isEmpty ? "" : " (\(place.joined(separator: ", ")))")
  }
}
