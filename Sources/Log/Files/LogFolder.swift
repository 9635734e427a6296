import Events

/// `DIR/log`: its meta file, its lock, its partitions' folders.
struct LogFolder: Sendable {
  let directory: String
  let paths: LogPaths
  let fileSystem: any FileSystem

  init(directory: String, fileSystem: any FileSystem) {
    self.directory = directory
    paths = LogPaths(root: directory + "/log")
    self.fileSystem = fileSystem
  }

  /// The files that are open while a log is written.
  struct Writing {
    let lock: any FileLock
    let meta: LogMeta
    /// Each partition's writer alone writes its note there; the opener writes the rest.
    let file: any File
  }

  /// The log's parameters, fixed when the folder was made; nil when there is no log.
  /// - Throws: `.corrupt` when `meta` is damaged, or is missing though there are partitions.
  func meta() throws(LogError) -> LogMeta? {
    let stored = try placing(nil) { () throws(IOFailure) in try fileSystem.contents(of: paths.meta, bytesMax: LogMeta.bytesMax) }
    guard let stored else {
      guard try made().isEmpty else { throw lost("is missing, though there are partitions beside it") }
      return nil
    }
    do throws(RecordDamage) {
      return try LogMeta(parsing: stored)
    } catch {
      if case .version = error { throw LogError(.incompatible, "\(paths.meta): \(error)") }
      throw lost("is damaged (\(error))")
    }
  }

  func made() throws(LogError) -> Set<PartitionID> {
    do throws(IOFailure) {
      let names = try fileSystem.list(paths.root)
      return Set(names.compactMap { UInt16($0) }.filter { $0 < PartitionID.countMax }.map { PartitionID($0) })
    } catch {
      if error.errno == missingErrno { return [] }
      throw LogError(error)
    }
  }

  private func lost(_ what: String) -> LogError {
    LogError(
      .corrupt,
      """
      \(paths.meta) \(what): it says how many partitions the log has, and which log it is. Put it back from where the folder was copied; \
      where there is none any more, `penstock log repair --partitions N` writes a new one
      """)
  }

  /// Takes the lock, and creates folder and meta file if there are none.
  /// - Parameters:
  ///   - partitionCount: The number of partitions of a log that is made here.
  ///   - isFixed: Whether a log with another number of partitions is refused.
  func openForWriting(partitionCount: Int, isFixed: Bool) throws(LogError) -> Writing {
    try placing(nil) { () throws(IOFailure) in
      // Synced even when found: its creator may have been killed before syncing.
      let isNew = try fileSystem.createDirectory(directory)
      do throws(IOFailure) {
        try fileSystem.syncDirectory(parent(of: directory))
      } catch {
        // The folder above may not be ours to read; then the creator of the data folder has to sync it.
        guard !isNew, error.errno == deniedErrno else { throw error }
      }
      _ = try fileSystem.createDirectory(paths.root)
      try fileSystem.syncDirectory(directory)
    }
    let lock = try takeLock()
    var meta: LogMeta
    if let found = try self.meta() {
      guard found.partitionCount == partitionCount || !isFixed else {
        throw LogError(
          .incompatible,
          """
          \(paths.root) was made with \(found.partitionCount) partitions, the configuration says \(partitionCount). A source's \
          partition depends on the count, so it is fixed: leave it out, or set log.partitions to \(found.partitionCount), or use \
          another data folder
          """)
      }
      meta = found
      if meta.identity == nil {
        meta.identity = .random()
        try make(meta, made: try hasEvents(meta) ? Set((0..<meta.partitionCount).map { PartitionID($0) }) : [])
      }
    } else {
      meta = LogMeta(partitionCount: partitionCount, identity: .random())
      try make(meta, made: [])
    }
    let file = try placing(nil) { () throws(IOFailure) in try fileSystem.open(paths.meta, .readWrite) }
    return Writing(lock: lock, meta: meta, file: file)
  }

  /// Puts a meta file in place.
  /// - Parameter made: Partitions that are known to have been made, whatever they hold.
  func make(_ meta: LogMeta, made: Set<PartitionID>) throws(LogError) {
    var bytes = meta.encoded()
    for index in 0..<meta.partitionCount {
      let partition = PartitionID(index)
      bytes +=
        made.contains(partition) ? PartitionNote.made.encoded(partition) : Array(repeating: 0, count: FixedRecord.byteCount)
    }
    bytes += Array(repeating: 0, count: FixedRecord.byteCount)
    try placing(nil) { [bytes] () throws(IOFailure) in
      try fileSystem.replace(paths.meta, with: bytes)
      try fileSystem.syncDirectory(paths.root)
    }
  }

  /// Whether a log of an earlier version, which has no notes, holds an event: then all its partitions were made.
  private func hasEvents(_ meta: LogMeta) throws(LogError) -> Bool {
    for partition in try made().sorted() where partition.index < meta.partitionCount {
      let paths = paths.partition(partition)
      let hasEvents = try placing(partition) { () throws(IOFailure) in
        for name in try fileSystem.list(paths.directory) {
          guard let base = PartitionPaths.base(of: name, suffix: ".segment") else { continue }
          if base > .zero { return true }
          if try fileSystem.open(paths.segment(base), .read).size() > 0 { return true }
        }
        return false
      }
      if hasEvents { return true }
    }
    return false
  }

  func takeLock() throws(LogError) -> any FileLock {
    do throws(IOFailure) {
      return try fileSystem.lock(paths.lock)
    } catch {
      guard error.errno == wouldBlockErrno else { throw LogError(error) }
      throw LogError(.locked, "another process has \(paths.root) open; stop it, or use another data folder")
    }
  }

  private func parent(of path: String) -> String {
    var trimmed = path[...]
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }
}
