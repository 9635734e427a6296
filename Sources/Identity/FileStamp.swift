import Glibc

/// Tells one state of a file from another, without reading it.
public struct FileStamp: Sendable, Hashable {
  private var device: UInt
  private var inode: UInt
  private var bytes: Int
  private var seconds: Int
  private var nanoseconds: Int

  /// Nil when there is no such file.
  public init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt(status.st_dev)
    inode = UInt(status.st_ino)
    bytes = Int(status.st_size)
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }
}
