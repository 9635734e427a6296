import Events
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

let interruptedErrno = EINTR
let missingErrno = ENOENT
let noSpaceErrno = ENOSPC
let quotaErrno = EDQUOT
let tooBigErrno = EFBIG
let wouldBlockErrno = EWOULDBLOCK
let ioErrno = EIO
let deniedErrno = EACCES

/// "No space left on device (errno 28)".
func errorText(_ errno: Int32) -> String {
  "\(strerror(errno).map { String(cString: $0) } ?? "unknown error") (errno \(errno))"
}

/// Real files, with one system call each.
public struct PosixFileSystem: FileSystem {
  public init() {}

  public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
    let flags: Int32 =
      switch mode {
      case .read: O_RDONLY
      case .readWrite: O_RDWR
      case .create: O_RDWR | O_CREAT | O_TRUNC
      }
    return PosixFile(descriptor: try openDescriptor(path, flags), path: path)
  }

  public func list(_ directory: String) throws(IOFailure) -> [String] {
    guard let stream = opendir(directory) else { throw IOFailure("opendir", directory, errno: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw IOFailure("readdir", directory, errno: errno) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  public func createDirectory(_ path: String) throws(IOFailure) -> Bool {
    if mkdir(path, 0o700) == 0 { return true }
    guard errno == EEXIST else { throw IOFailure("mkdir", path, errno: errno) }
    return false
  }

  public func rename(_ path: String, to newPath: String) throws(IOFailure) {
    #if canImport(Darwin)
      let result = Darwin.rename(path, newPath)
    #elseif canImport(Musl)
      let result = Musl.rename(path, newPath)
    #else
      let result = Glibc.rename(path, newPath)
    #endif
    guard result == 0 else { throw IOFailure("rename", path, errno: errno) }
  }

  public func remove(_ path: String) throws(IOFailure) {
    guard unlink(path) == 0 else { throw IOFailure("unlink", path, errno: errno) }
  }

  public func syncDirectory(_ path: String) throws(IOFailure) {
    let descriptor = try openDescriptor(path, O_RDONLY | O_DIRECTORY)
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw IOFailure("fsync", path, errno: errno) }
  }

  public func freeBytes(_ directory: String) throws(IOFailure) -> Int {
    var status = statvfs()
    guard statvfs(directory, &status) == 0 else { throw IOFailure("statvfs", directory, errno: errno) }
    return Int(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
  }

  public func mark(of path: String) throws(IOFailure) -> FileMark? {
    var status = stat()
    if stat(path, &status) == 0 { return FileMark(status) }
    guard errno == ENOENT || errno == ENOTDIR else { throw IOFailure("stat", path, errno: errno) }
    return nil
  }

  public func lock(_ path: String) throws(IOFailure) -> any FileLock {
    let descriptor = try openDescriptor(path, O_RDWR | O_CREAT)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      throw IOFailure("flock", path, errno: code)
    }
    return PosixFileLock(descriptor, path: path)
  }

  private func openDescriptor(_ path: String, _ flags: Int32) throws(IOFailure) -> Int32 {
    #if canImport(Darwin)
      let descriptor = Darwin.open(path, flags | O_CLOEXEC, 0o600)
    #elseif canImport(Musl)
      let descriptor = Musl.open(path, flags | O_CLOEXEC, 0o600)
    #else
      let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o600)
    #endif
    guard descriptor >= 0 else { throw IOFailure("open", path, errno: errno) }
    return descriptor
  }
}

final class PosixFile: File {
  let path: String
  private let descriptor: Int32

  init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  func write(_ bytes: UnsafeRawBufferPointer, at position: Int) throws(IOFailure) -> Int {
    guard !bytes.isEmpty else { return 0 }
    let count = pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(position))
    guard count >= 0 else { throw IOFailure("pwrite", path, errno: errno) }
    return count
  }

  func read(into bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(IOFailure) -> Int {
    guard !bytes.isEmpty else { return 0 }
    let count = pread(descriptor, bytes.baseAddress, bytes.count, off_t(position))
    guard count >= 0 else { throw IOFailure("pread", path, errno: errno) }
    return count
  }

  func syncData() throws(IOFailure) {
    #if os(Linux)
      let result = fdatasync(descriptor)
    #else
      // fsync leaves data in the drive's cache on Apple systems.
      let result = fcntl(descriptor, F_FULLFSYNC)
    #endif
    guard result == 0 else { throw IOFailure("fdatasync", path, errno: errno) }
  }

  func truncate(to size: Int) throws(IOFailure) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw IOFailure("ftruncate", path, errno: errno) }
  }

  func size() throws(IOFailure) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw IOFailure("fstat", path, errno: errno) }
    return Int(status.st_size)
  }

  func mark() throws(IOFailure) -> FileMark {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw IOFailure("fstat", path, errno: errno) }
    return FileMark(status)
  }
}

extension FileMark {
  fileprivate init(_ status: stat) {
    self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int(status.st_size))
  }
}

/// `flock` belongs to the open file, so that two logs in one process exclude each other as two processes do.
final class PosixFileLock: FileLock {
  private let descriptor: Mutex<Int32?>
  private let path: String

  init(_ descriptor: Int32, path: String) {
    self.descriptor = Mutex(descriptor)
    self.path = path
  }

  func mark() throws(IOFailure) -> FileMark? {
    guard let descriptor = descriptor.withLock({ $0 }) else { return nil }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw IOFailure("fstat", path, errno: errno) }
    return FileMark(status)
  }

  deinit { release() }

  func release() {
    guard
      let held = descriptor.withLock({ (value: inout Int32?) -> Int32? in
        defer { value = nil }
        return value
      })
    else { return }
    close(held)
  }
}
