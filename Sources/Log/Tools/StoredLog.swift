import Events
import Logging

/// A log's folder as it lies on disk, for tools: takes no lock and changes nothing, so it may be read beside the one who writes it.
public struct StoredLog: Sendable {
  public let partitionCount: Int
  /// Nil in a log that no version has opened yet which gives one.
  public let identity: LogIdentity?
  /// What earlier append times count as, where retention goes by age; nil when they count as they are.
  public let ageFloor: Timestamp?
  let folder: LogFolder

  /// - Parameters:
  ///   - directory: The data folder; the log lies in its `log` subfolder.
  ///   - fileSystem: Where the files are; a test's may fail.
  /// - Throws: `.io` when there is no log, `.corrupt` or `.incompatible` when its meta file says so.
  public init(directory: String, fileSystem: any FileSystem = PosixFileSystem()) throws(LogError) {
    folder = LogFolder(directory: directory, fileSystem: fileSystem)
    guard let meta = try folder.meta() else {
      throw LogError(.io, errno: missingErrno, "there is no log in \(folder.paths.root): name the data folder")
    }
    (partitionCount, identity, ageFloor) = (meta.partitionCount, meta.identity, meta.ages?.floor)
  }

  public var partitions: [PartitionID] { (0..<partitionCount).map { PartitionID($0) } }

  /// What a partition holds at this moment.
  /// - Parameters:
  ///   - partition: Which.
  ///   - includingTail: Whether whole batches behind the high watermark count, as they will once the partition is started again;
  ///     beside a writer they may be ones that are not yet synced.
  /// - Throws: `.unknownPartition`, `.corrupt` when it holds damage, `.io`.
  public func partition(_ partition: PartitionID, includingTail: Bool = false) throws(LogError) -> StoredPartition {
    try StoredPartition(files(of: partition), includingTail: includingTail)
  }

  func files(of partition: PartitionID) throws(LogError) -> PartitionFiles {
    guard partition.index < partitionCount else {
      throw LogError(.unknownPartition, partition: partition, "the log has partitions 0 to \(partitionCount - 1)")
    }
    return PartitionFiles(
      partition: partition, paths: folder.paths.partition(partition), fileSystem: folder.fileSystem,
      // Only for indexes rebuilt in memory: as for segments of 64 MiB.
      indexIntervalBytes: 64 << 10, mayWriteIndexes: false,
      // What is found here is told by the tools themselves, and an index that a writer is just writing is no news.
      logger: Logger(label: "penstock.log.stored") { _ in SwiftLogNoOpLogHandler() },
      meta: identity == nil ? nil : folder.paths.meta)
  }
}
