import Events

extension LogError {
  init(_ failure: IOFailure, partition: PartitionID? = nil, segment: Offset? = nil) {
    self.init(
      .io, partition: partition, place: filePlace(segment: segment, errno: failure.errno), failure.description)
  }

  init(_ failure: ReadFailure, partition: PartitionID, segment: Offset, position: Int) {
    switch failure {
    case .io(let failure): self.init(failure, partition: partition, segment: segment)
    case .damaged(let damage): self = .corrupt(partition, segment: segment, position: position, "\(damage)")
    }
  }

  static func corrupt(_ partition: PartitionID, segment: Offset? = nil, position: Int? = nil, _ detail: String) -> LogError {
    LogError(
      .corrupt, partition: partition, place: filePlace(segment: segment, position: position),
      "\(detail); `penstock log repair` shows what can be kept, and cuts the partition there when told to")
  }

  /// The error of a log whose files are no longer its own.
  static func gone(_ path: String, _ what: String, _ partition: PartitionID?) -> LogError {
    LogError(
      .poisoned, partition: partition,
      """
      \(path) \(what), though this server has it open and writes it: what it writes would not be found again. Stop the server, put the \
      data folder back as it was, and start it; what was acknowledged in the second before this was noticed may be lost
      """)
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

/// Where in a log's files something failed: the place that a `LogError` of theirs has.
/// - Parameters:
///   - segment: Base offset of the segment.
///   - position: Byte in its file.
///   - errno: The failed call's.
func filePlace(segment: Offset? = nil, position: Int? = nil, errno: Int32? = nil) -> String {
  [segment.map { "segment \($0)" }, position.map { "byte \($0)" }, errno.map { "errno \($0)" }].compactMap { $0 }
    .joined(separator: ", ")
}
