/// An operational failure of a log, with its place.
public struct LogError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// An earlier sync failed; opening the partition anew recovers it.
    case poisoned
    /// Damage before the tail: the partition does not open.
    case corrupt
    /// A call of the store failed; `place` may say more.
    case io
    /// Another process holds the log's lock.
    case locked
    case outOfRange = "out_of_range"
    case unknownPartition = "unknown_partition"
    /// The log is shutting down or its queue is full: try again later.
    case unavailable
    /// The disk has less room left than the log's reserve: appends are accepted again once there is more.
    case diskFull = "disk_full"
    /// The stored log has a version or a partition count that this program does not read.
    case incompatible
    /// Another log answers than the one that was opened.
    case anotherLog = "another_log"
  }

  public var code: Code
  public var partition: PartitionID?
  /// Where in the partition, in the words of the engine that keeps it, as `segment 0, byte 4711`: to be printed, never to be
  /// parsed. Empty where the engine says no more than `partition`.
  public var place: String
  public var detail: String

  public init(_ code: Code, partition: PartitionID? = nil, place: String = "", _ detail: String) {
    self.code = code
    self.partition = partition
    self.place = place
    self.detail = detail
  }

  public var description: String {
    let places = [partition.map { "partition \($0)" }, place.isEmpty ? nil : place].compactMap { $0 }
    return "log: \(code.rawValue): \(detail)" + (places.isEmpty ? "" : " (\(places.joined(separator: ", ")))")
  }
}
