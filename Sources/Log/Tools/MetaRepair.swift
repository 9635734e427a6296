import Events
import Logging

/// Writes a new `meta` into a log's folder where it is missing or damaged. It holds the lock, so no server has the log open.
public final class MetaRepair: Sendable {
  private let folder: LogFolder
  private let lock: any FileLock

  /// - Parameters:
  ///   - directory: The data folder.
  ///   - fileSystem: The file system of the folder.
  /// - Throws: `.locked` when a server has the log open, `.io` when there is none.
  public init(directory: String, fileSystem: any FileSystem = PosixFileSystem()) throws(LogError) {
    folder = LogFolder(directory: directory, fileSystem: fileSystem)
    guard try !folder.made().isEmpty else {
      throw LogError(
        .io, place: filePlace(errno: missingErrno), "there are no partitions in \(folder.paths.root): name the data folder")
    }
    lock = try folder.takeLock()
  }

  deinit { lock.release() }

  /// Whether `meta` is there and whole.
  public var isWhole: Bool { (try? folder.meta()) != nil }

  /// Writes `meta` for a log with a new identity, since the old one is lost with it. Partitions without a folder count as lost.
  /// - Parameter partitionCount: The log's number of partitions: compared with the sources of the first batches that are there.
  /// - Throws: `.incompatible`, with nothing changed, when that number is wrong.
  public func write(partitionCount: Int) throws(LogError) -> LogIdentity {
    let made = try folder.made()
    guard (1...PartitionID.countMax).contains(partitionCount), made.allSatisfy({ $0.index < partitionCount }) else {
      throw LogError(
        .incompatible, "there is a partition \(made.max()?.index ?? 0): the log was not made with \(partitionCount) partitions")
    }
    for partition in made.sorted() { try check(partition, partitionCount) }
    let identity = LogIdentity.random()
    let (fileSystem, paths) = (folder.fileSystem, folder.paths)
    try placing(nil) { () throws(IOFailure) in
      if try fileSystem.isThere(paths.meta) { try fileSystem.rename(paths.meta, to: paths.meta + ".damaged") }
    }
    try folder.make(
      LogMeta(partitionCount: partitionCount, identity: identity), made: Set((0..<partitionCount).map { PartitionID($0) }))
    return identity
  }

  private func check(_ partition: PartitionID, _ partitionCount: Int) throws(LogError) {
    let paths = folder.paths.partition(partition)
    let batch = try placing(partition) { () throws(IOFailure) -> ColumnBatch? in
      let bases = try folder.fileSystem.list(paths.directory).compactMap { PartitionPaths.base(of: $0, suffix: ".segment") }
      guard let base = bases.min() else { return nil }
      let file = try folder.fileSystem.open(paths.segment(base), .read)
      var cursor = SegmentCursor(file, from: 0, to: try file.size())
      do throws(ReadFailure) {
        guard let header = try cursor.header() else { return nil }
        return try cursor.batch(header)
      } catch {
        // A damaged partition says nothing about the number.
        if case .io(let failure) = error { throw failure }
        return nil
      }
    }
    for event in batch?.events() ?? [] {
      var source = event.source
      let hash = source.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }
      guard hash % UInt64(partitionCount) == UInt64(partition.index) else {
        throw LogError(
          .incompatible, partition: partition,
          "source \(event.source.prefix(64)) would not be in this partition if there were \(partitionCount): the log has another number"
        )
      }
    }
  }
}
