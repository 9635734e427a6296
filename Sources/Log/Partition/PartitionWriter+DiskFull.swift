import Events

/// When the disk is full, or as full as the reserve lets it become.
extension PartitionWriter {
  /// Asked for before appends are taken again, so that the first of them does not find the disk full at once.
  static let roomBytes = 1 << 20

  /// Refuses appends with `.diskFull` until there is room.
  /// - Parameter cause: The call that found the disk full; nil when the reserve did.
  /// - Returns: What to tell those who wait.
  func suspend(_ cause: LogError?) -> LogError {
    let why = cause?.detail ?? "the disk has less than \(disk.bytes) bytes left (log.disk_reserve)"
    let error = LogError(
      .diskFull, partition: partition, errno: cause?.errno,
      "\(why): appends are taken again once there is room; delete something, or let retention do it")
    guard !isDiskFull else { return error }
    isDiskFull = true
    queue.suspend(error)
    metrics.diskFull.increment()
    logger.error("partition takes no appends until the disk has room", metadata: files.place("why", why))
    waitForRoom()
    return error
  }

  private func waitForRoom() {
    executor.async(after: configuration.diskRoomInterval) { self.assumeIsolated { $0.lookForRoom() } }
  }

  private func lookForRoom() {
    guard isDiskFull, !isClosed, poison == nil else { return }
    guard disk.claim(PartitionWriter.roomBytes, isFresh: true) else { return waitForRoom() }
    isDiskFull = false
    metrics.diskFull.decrement()
    logger.notice("partition takes appends again: the disk has room", metadata: files.place())
    queue.resume()
  }

  /// Cuts off what a failed write left behind the last acknowledged batch. Safe, for nobody was told of those bytes: synced before anything
  /// else is written, so that no remains of them can come back among later ones.
  /// - Returns: The producer state without them, from disk: in memory it has taken in what was to be written.
  /// - Throws: When that fails too; what is on disk is then unknown.
  func cutOffUnacknowledged() throws(LogError) -> ProducerState {
    let (file, end, base) = (activeFile, position, published.activeBase)
    try placing(partition, base) { () throws(IOFailure) in
      try file.truncate(to: end)
      try file.syncData()
    }
    let names = try placing(partition) { () throws(IOFailure) in try files.fileSystem.list(files.paths.directory) }
    let sealed = Array(published.segments.dropLast())
    var recovery = ProducerRecovery(files: files, configuration: configuration)
    try recovery.restore(names, sealed: sealed, activeBase: base)
    let stop = try placing(partition, base) { () throws(IOFailure) in
      try SegmentScan.batches(file, partition: partition, base: base, limit: end) { recovery.take($0) }
    }
    if let damage = stop.damage { throw .corrupt(partition, segment: base, position: stop.position, "\(damage)") }
    return recovery.producers
  }
}
