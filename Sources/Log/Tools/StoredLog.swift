import Events
import Logging

/// A log's folder on disk, for tools. It takes no lock and changes nothing, so it may be read beside a writer.
public struct StoredLog: Sendable {
  public let partitionCount: Int
  /// Nil in a log that only versions without identities have opened.
  public let identity: LogIdentity?
  /// The time that earlier append times count as, where retention goes by age; nil when they count as they are.
  public let ageFloor: Timestamp?
  let folder: LogFolder

  /// - Parameters:
  ///   - directory: The data folder; the log lies in its `log` subfolder.
  ///   - fileSystem: The file system of the folder; a test's may fail.
  /// - Throws: `.io` when there is no log, `.corrupt` or `.incompatible` when its meta file says so.
  public init(directory: String, fileSystem: any FileSystem = PosixFileSystem()) throws(LogError) {
    folder = LogFolder(directory: directory, fileSystem: fileSystem)
    guard let meta = try folder.meta() else {
      throw LogError(.io, place: filePlace(errno: missingErrno), "there is no log in \(folder.paths.root): name the data folder")
    }
    (partitionCount, identity, ageFloor) = (meta.partitionCount, meta.identity, meta.ages?.floor)
  }

  public var partitions: [PartitionID] { (0..<partitionCount).map { PartitionID($0) } }

  /// The content of a partition at this moment.
  /// - Parameters:
  ///   - partition: The partition to read.
  ///   - includingTail: Whether whole batches after the high watermark count, as they will once the partition is started again;
  ///     beside a writer they may not be synced yet.
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
      // Only for indexes rebuilt in memory: the interval of 64 MiB segments.
      indexIntervalBytes: 64 << 10, mayWriteIndexes: false,
      // The tools themselves report their findings, and an index that a writer is just writing is no news.
      logger: Logger(label: "penstock.log.stored") { _ in SwiftLogNoOpLogHandler() },
      meta: identity == nil ? nil : folder.paths.meta)
  }
}
