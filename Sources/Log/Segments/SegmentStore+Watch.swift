import Events

/// Looks whether the files at the partition's paths are the ones it writes: an open file goes on taking writes after its folder
/// was removed, renamed or put back from a copy, and all of them are lost.
extension SegmentStore {
  /// The sealed segments that one look checks; the next look goes on after them.
  static let sealedPerLook = 64

  /// The first file that is not as this store made it, as an error; nil when all are.
  func problem() -> LogError? {
    let paths = files.paths
    do throws(IOFailure) {
      for (file, bytes) in [(activeFile, position), (markerFile, FixedRecord.byteCount)] {
        let (now, own) = (try files.fileSystem.mark(of: file.path), try file.mark())
        guard own.isSameFile(as: now) else {
          return .gone(file.path, now == nil ? "is gone" : "is another file", partition)
        }
        // The file's end lies beyond while a write is being cut off, never before.
        if own.size < bytes { return .gone(file.path, "was cut to \(own.size) bytes of \(bytes)", partition) }
      }
      let sealed = segments.all.dropLast()
      for step in 0..<min(SegmentStore.sealedPerLook, sealed.count) {
        let segment = sealed[(nextLook + step) % sealed.count]
        let now = try files.fileSystem.mark(of: paths.segment(segment.base))
        guard now?.size == segment.bytes else {
          let what = now.map { "has \($0.size) bytes of \(segment.bytes)" } ?? "is gone"
          return .gone(paths.segment(segment.base), what, partition)
        }
      }
      nextLook = sealed.isEmpty ? 0 : (nextLook + SegmentStore.sealedPerLook) % sealed.count
      return nil
    } catch {
      return .gone(error.path, "cannot be looked at (\(error))", partition)
    }
  }
}
