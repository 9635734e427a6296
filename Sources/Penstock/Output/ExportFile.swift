import CZlib

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A file written from begin to end, or standard output; gzipped on request. The file gets its name only when it is complete.
final class ExportFile {
  /// The bytes to collect before a call of `write`.
  static let chunkBytes = 1 << 20
  /// Exports are written once and read seldom: a higher level would cost several times the CPU for a tenth of the size.
  private static let level: Int32 = 1

  private let path: String
  private let temporary: String?
  private let descriptor: Int32
  private let stream: UnsafeMutablePointer<z_stream>?
  private var compressed = [UInt8](repeating: 0, count: chunkBytes)
  private var isFinished = false

  /// - Parameter path: `-` for standard output.
  init(path: String, isGzip: Bool) throws {
    self.path = path
    if path == "-" {
      (temporary, descriptor) = (nil, STDOUT_FILENO)
    } else {
      temporary = path + ".tmp"
      descriptor = open(path + ".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else {
        throw CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))", exitCode: .usage)
      }
    }
    guard isGzip else {
      stream = nil
      return
    }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 16 more than the window's bits: gzip's header and trailer.
    guard czlib_deflate_init(stream, ExportFile.level, 15 + 16) == Z_OK else {
      stream.deallocate()
      throw CommandFailure("zlib has no memory")
    }
    self.stream = stream
  }

  deinit {
    if let stream {
      deflateEnd(stream)
      stream.deallocate()
    }
    guard let temporary else { return }
    close(descriptor)
    if !isFinished { unlink(temporary) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let stream else { return try writeWhole(bytes) }
    try deflate(stream, bytes, Z_NO_FLUSH)
  }

  /// Writes the remaining bytes, syncs, and gives the file its name.
  func finish() throws {
    if let stream { try deflate(stream, UnsafeRawBufferPointer(start: nil, count: 0), Z_FINISH) }
    guard let temporary else { return }
    guard fsync(descriptor) == 0, rename(temporary, path) == 0 else { throw failure() }
    isFinished = true
  }

  private func deflate(_ stream: UnsafeMutablePointer<z_stream>, _ bytes: UnsafeRawBufferPointer, _ flush: Int32) throws {
    // zlib doesn't write through next_in.
    stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(bytes.count)
    var hasMore = true
    while hasMore {
      let made = compressed.withUnsafeMutableBufferPointer { buffer in
        stream.pointee.next_out = buffer.baseAddress
        stream.pointee.avail_out = UInt32(buffer.count)
        CZlib.deflate(stream, flush)
        return buffer.count - Int(stream.pointee.avail_out)
      }
      hasMore = made == compressed.count
      try compressed.withUnsafeBytes { try writeWhole(UnsafeRawBufferPointer(rebasing: $0[..<made])) }
    }
    stream.pointee.next_in = nil
  }

  private func writeWhole(_ bytes: UnsafeRawBufferPointer) throws {
    guard temporary != nil else { return try StandardStream.output.write(bytes) }
    try StandardStream(descriptor: descriptor).write(bytes)
  }

  private func failure() -> CommandFailure { CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))") }
}
