import Events

/// Handles a disk that is full, or as full as the reserve lets it become.
extension PartitionWriter {
  /// The room that must be there before appends are accepted again, so that the first of them does not find the disk full at
  /// once.
  static let roomBytes = 1 << 20

  /// Refuses appends with `.diskFull` until there is room.
  /// - Parameter cause: The error by which the lack of room was found.
  /// - Returns: The error for the waiting appenders.
  func suspend(_ cause: LogError) -> LogError {
    let error = LogError(
      .diskFull, partition: partition, place: cause.place,
      "\(cause.detail): appends are taken again once there is room; delete something, or let retention do it")
    guard !isDiskFull else { return error }
    isDiskFull = true
    queue.suspend(error)
    metrics.diskFull.increment()
    logger.error("partition takes no appends until the disk has room", metadata: place("why", cause.detail))
    waitForRoom()
    return error
  }

  private func waitForRoom() {
    executor.async(after: configuration.diskRoomInterval) { self.assumeIsolated { $0.lookForRoom() } }
  }

  private func lookForRoom() {
    guard isDiskFull, !isClosed, poison == nil else { return }
    guard store.shortage(of: PartitionWriter.roomBytes, isFresh: true) == nil else { return waitForRoom() }
    isDiskFull = false
    metrics.diskFull.decrement()
    logger.notice("partition takes appends again: the disk has room", metadata: ["partition": "\(partition)"])
    queue.resume()
  }
}
