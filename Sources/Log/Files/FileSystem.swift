/// The file system calls of the log: tests make any of them fail here.
///
/// Implementations do one system call each and hide nothing: a call may be short or interrupted. `File.writeAll` and
/// `File.readFull` handle that, once.
public protocol FileSystem: Sendable {
  func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File
  /// Names in a directory, in no order, without `.` and `..`.
  func list(_ directory: String) throws(IOFailure) -> [String]
  /// Makes a directory; one that exists already is left as it is.
  /// - Returns: Whether it was created; its name is then durable once the directory above is synced.
  func createDirectory(_ path: String) throws(IOFailure) -> Bool
  func rename(_ path: String, to newPath: String) throws(IOFailure)
  func remove(_ path: String) throws(IOFailure)
  /// Makes the names in a directory durable: those created, renamed and removed so far.
  func syncDirectory(_ path: String) throws(IOFailure)
  /// Bytes that may still be written to the directory's disk.
  func freeBytes(_ directory: String) throws(IOFailure) -> Int
  /// The device and inode of the file or directory that has this name now; nil when nothing has it.
  func mark(of path: String) throws(IOFailure) -> FileMark?
  /// Takes the exclusive lock of a file, created if necessary, until the result is released. Fails with `EWOULDBLOCK` when
  /// another holds it.
  func lock(_ path: String) throws(IOFailure) -> any FileLock
}

public enum OpenMode: Sendable {
  /// Existing files only.
  case read
  /// Existing files only.
  case readWrite
  /// A new file, or an existing one made empty.
  case create
}

/// An open file, closed when its last reference is gone. Calls may come from several threads at once.
public protocol File: AnyObject, Sendable {
  var path: String { get }
  /// Writes some of `bytes`, and says how many: at least 1 when there are any.
  func write(_ bytes: UnsafeRawBufferPointer, at position: Int) throws(IOFailure) -> Int
  /// Reads bytes at `position`, and says how many: 0 at the file's end only.
  func read(into bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(IOFailure) -> Int
  /// Makes contents and size durable. After a failure, the state of everything written since the last success is unknown.
  func syncData() throws(IOFailure)
  func truncate(to size: Int) throws(IOFailure)
  func size() throws(IOFailure) -> Int
  /// The open file's own mark, whichever file has its name by now.
  func mark() throws(IOFailure) -> FileMark
}

/// Identifies a file: its name may belong to another by now.
public struct FileMark: Hashable, Sendable {
  public var device: UInt64
  public var inode: UInt64
  /// Bytes.
  public var size: Int

  public init(device: UInt64, inode: UInt64, size: Int) {
    self.device = device
    self.inode = inode
    self.size = size
  }

  func isSameFile(as other: FileMark?) -> Bool { other.map { $0.device == device && $0.inode == inode } ?? false }
}

/// A lock, held until `release` or until its last reference is gone.
public protocol FileLock: AnyObject, Sendable {
  /// The locked file's own mark; nil once it is released.
  func mark() throws(IOFailure) -> FileMark?
  func release()
}

/// A failed system call.
public struct IOFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public var call: String
  public var path: String
  public var errno: Int32

  public init(_ call: String, _ path: String, errno: Int32) {
    self.call = call
    self.path = path
    self.errno = errno
  }

  /// Whether the disk, or the writer's share of it, has no room left.
  var isFull: Bool { errno == noSpaceErrno || errno == quotaErrno }

  public var description: String { "\(call) of \(path) failed: \(errorText(errno))" }
}

extension File {
  /// Writes all of `bytes`, in as many calls as that takes.
  func writeAll(_ bytes: UnsafeRawBufferPointer, at position: Int) throws(IOFailure) {
    var done = 0
    while done < bytes.count {
      do throws(IOFailure) {
        let count = try write(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: position + done)
        // A write that takes nothing and reports no error would loop for ever.
        guard count > 0 else { throw IOFailure("pwrite", path, errno: noSpaceErrno) }
        done += count
      } catch {
        guard error.errno == interruptedErrno else { throw error }
      }
    }
  }

  /// Reads until `bytes` is full or the file ends, and returns the number of bytes read.
  func readFull(into bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(IOFailure) -> Int {
    var done = 0
    while done < bytes.count {
      do throws(IOFailure) {
        let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[done...]), at: position + done)
        if count == 0 { break }
        done += count
      } catch {
        guard error.errno == interruptedErrno else { throw error }
      }
    }
    return done
  }

  /// Reads `count` bytes, or fewer at the file's end.
  func readFull(_ count: Int, at position: Int) throws(IOFailure) -> [UInt8] {
    var failure: IOFailure?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(IOFailure) {
        initialized = try readFull(into: UnsafeMutableRawBufferPointer(buffer), at: position)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  func writeAll(_ bytes: [UInt8], at position: Int) throws(IOFailure) {
    var failure: IOFailure?
    bytes.withUnsafeBytes { buffer in
      do throws(IOFailure) { try writeAll(buffer, at: position) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

extension FileSystem {
  /// Puts `bytes` under `path` such that a crash leaves the whole of the old contents or the whole of the new. The
  /// caller syncs the directory.
  func replace(_ path: String, with bytes: [UInt8]) throws(IOFailure) {
    let temporary = path + temporarySuffix
    let file = try open(temporary, .create)
    try file.writeAll(bytes, at: 0)
    try file.syncData()
    try rename(temporary, to: path)
  }

  func isThere(_ path: String) throws(IOFailure) -> Bool { try mark(of: path) != nil }

  /// The whole file; nil when there is none.
  /// - Parameter bytesMax: A larger file is refused with `EFBIG`, before anything is allocated.
  func contents(of path: String, bytesMax: Int) throws(IOFailure) -> [UInt8]? {
    let file: any File
    do throws(IOFailure) {
      file = try open(path, .read)
    } catch {
      if error.errno == missingErrno { return nil }
      throw error
    }
    let size = try file.size()
    guard size <= bytesMax else { throw IOFailure("read", path, errno: tooBigErrno) }
    return try file.readFull(size, at: 0)
  }
}

/// The suffix of files under construction; those found at start-up are left over and removed.
let temporarySuffix = ".tmp"
