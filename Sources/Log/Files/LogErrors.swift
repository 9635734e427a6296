import Events

extension LogError {
  init(_ failure: IOFailure, partition: PartitionID? = nil, segment: Offset? = nil) {
    self.init(.io, partition: partition, segment: segment, errno: failure.errno, failure.description)
  }

  static func corrupt(_ partition: PartitionID, segment: Offset? = nil, position: Int? = nil, _ detail: String) -> LogError {
    LogError(
      .corrupt, partition: partition, segment: segment, position: position,
      "\(detail); `penstock log repair` shows what can be kept, and cuts the partition there when told to")
  }
}

/// Runs calls of the file system, and adds a place to their failures.
func placing<R>(_ partition: PartitionID?, _ segment: Offset? = nil, _ body: () throws(IOFailure) -> R) throws(LogError) -> R {
  do throws(IOFailure) {
    return try body()
  } catch {
    throw LogError(error, partition: partition, segment: segment)
  }
}
