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

  /// What the folder was made with; nil when there is no log.
  func meta() throws(LogError) -> LogMeta? {
    let stored = try placing(nil) { () throws(IOFailure) in try fileSystem.contents(of: paths.meta, bytesMax: 1 << 12) }
    guard let stored else { return nil }
    do throws(RecordDamage) {
      return try LogMeta(parsing: stored)
    } catch {
      if case .version = error { throw LogError(.incompatible, "\(paths.meta): \(error)") }
      throw LogError(.corrupt, "\(paths.meta): \(error)")
    }
  }

  /// Takes the lock, and makes folder and meta file if there are none.
  func openForWriting(partitionCount: Int) throws(LogError) -> any FileLock {
    try placing(nil) { () throws(IOFailure) in
      // Synced even when found: whoever made them may have been killed before syncing.
      let isNew = try fileSystem.createDirectory(directory)
      do throws(IOFailure) {
        try fileSystem.syncDirectory(parent(of: directory))
      } catch {
        // The folder above may not be ours to read; then it is for whoever made the data folder to sync it.
        guard !isNew, error.errno == deniedErrno else { throw error }
      }
      _ = try fileSystem.createDirectory(paths.root)
      try fileSystem.syncDirectory(directory)
    }
    let lock = try takeLock()
    if let meta = try meta() {
      guard meta.partitionCount == partitionCount else {
        throw LogError(
          .incompatible,
          """
          \(paths.root) was made with \(meta.partitionCount) partitions, the configuration says \(partitionCount). A source's \
          partition depends on the count, so it is fixed: set log.partitions to \(meta.partitionCount), or use another data folder
          """)
      }
      return lock
    }
    let names = try placing(nil) { () throws(IOFailure) in try fileSystem.list(paths.root) }
    guard !names.contains(where: { UInt16($0) != nil }) else {
      throw LogError(.corrupt, "\(paths.meta) is missing, though there are partitions beside it")
    }
    try placing(nil) { () throws(IOFailure) in
      try fileSystem.replace(paths.meta, with: LogMeta(partitionCount: partitionCount).encoded())
      try fileSystem.syncDirectory(paths.root)
    }
    return lock
  }

  /// Takes the lock that the one writer holds.
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
