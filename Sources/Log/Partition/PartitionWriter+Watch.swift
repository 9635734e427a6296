import Events

/// Whether the files at the partition's paths are those that it writes: an open file goes on taking writes after its folder was removed,
/// renamed or put back from a copy, and all of them are lost.
extension PartitionWriter {
  /// Sealed segments that one look takes in; the next goes on behind.
  static let sealedPerLook = 64

  /// Looks, and takes no more appends when something is not as it was.
  func watch() {
    guard poison == nil, !isClosed, let missing = missingFiles() else { return }
    lose(missing)
  }

  /// Takes no more appends: what is acknowledged would not be found again.
  func lose(_ error: LogError) {
    guard poison == nil, !isClosed else { return }
    poison(with: error)
    failWaiting(error)
  }

  /// What is not as this writer made it; nil when all is.
  func missingFiles() -> LogError? {
    let paths = files.paths
    do throws(IOFailure) {
      for (file, bytes) in [(activeFile, position), (markerFile, FixedRecord.byteCount)] {
        let (now, own) = (try files.fileSystem.mark(of: file.path), try file.mark())
        guard own.isSameFile(as: now) else {
          return PartitionWriter.gone(file.path, now == nil ? "is gone" : "is another file", partition)
        }
        // Its end lies beyond while a write is being cut off, never before.
        if own.size < bytes { return PartitionWriter.gone(file.path, "was cut to \(own.size) bytes of \(bytes)", partition) }
      }
      let sealed = published.segments.dropLast()
      for step in 0..<min(PartitionWriter.sealedPerLook, sealed.count) {
        let segment = sealed[(nextLook + step) % sealed.count]
        let now = try files.fileSystem.mark(of: paths.segment(segment.base))
        guard now?.size == segment.bytes else {
          let what = now.map { "has \($0.size) bytes of \(segment.bytes)" } ?? "is gone"
          return PartitionWriter.gone(paths.segment(segment.base), what, partition)
        }
      }
      nextLook = sealed.isEmpty ? 0 : (nextLook + PartitionWriter.sealedPerLook) % sealed.count
      return nil
    } catch {
      return PartitionWriter.gone(error.path, "cannot be looked at (\(error))", partition)
    }
  }

  /// The poison of a log whose files are not its own any more.
  nonisolated static func gone(_ path: String, _ what: String, _ partition: PartitionID?) -> LogError {
    LogError(
      .poisoned, partition: partition,
      """
      \(path) \(what), though this server has it open and writes it: what it writes would not be found again. Stop the server, put the \
      data folder back as it was, and start it; what was acknowledged in the second before this was noticed may be lost
      """)
  }
}
