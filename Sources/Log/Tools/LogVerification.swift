import Events

extension StoredLog {
  /// Bytes of all segments: the total of `verify`.
  public func segmentBytes() throws(LogError) -> Int {
    var total = 0
    for partition in partitions {
      let files = try files(of: partition)
      do throws(IOFailure) {
        for base in files.bases(try files.fileSystem.list(files.paths.directory), suffix: ".segment") {
          total += try files.fileSystem.open(files.paths.segment(base), .read).size()
        }
      } catch {
        // The file is not begun yet, or was removed between two looks.
        guard error.errno == missingErrno else { throw LogError(error, partition: partition) }
      }
    }
    return total
  }

  /// Reads a whole partition and checks CRCs, the density of offsets, indexes, producer snapshots and the high-watermark file
  /// against each other. Holds the partition's sources in memory, and one batch.
  /// - Parameters:
  ///   - partition: The partition to verify.
  ///   - onBytes: Called with the number of bytes as they are read.
  public func verify(_ partition: PartitionID, onBytes: @escaping (Int) -> Void = { _ in }) throws(LogError)
    -> PartitionVerification
  {
    try PartitionCheck.run(try files(of: partition), onBytes: onBytes)
  }
}
