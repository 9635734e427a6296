#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The reader of our output went away, as `head` does once it has enough. This is no failure: the command ends with 0.
struct OutputClosed: Error {}

/// Standard output or standard error, written whole; signals are off (see `ignoreBrokenPipes`).
struct StandardStream: Sendable {
  static let output = StandardStream(descriptor: STDOUT_FILENO)
  static let error = StandardStream(descriptor: STDERR_FILENO)

  let descriptor: Int32

  var isTerminal: Bool { isatty(descriptor) == 1 }

  /// Columns of the terminal; 80 where it does not say.
  var columns: Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// - Throws: `OutputClosed` when nobody reads any more; `CommandFailure` for another failure, such as a full disk.
  func write(_ text: String) throws {
    var copy = text
    try copy.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    let error = writeWhole(bytes)
    if error == EPIPE { throw OutputClosed() }
    if error != 0 { throw CommandFailure("cannot write the output: \(String(cString: strerror(error)))") }
  }

  /// Writes a message to people; a failure to write it is ignored.
  func note(_ text: String) {
    var copy = text + "\n"
    _ = copy.withUTF8 { writeWhole(UnsafeRawBufferPointer($0)) }
  }

  /// 0, or the errno.
  private func writeWhole(_ bytes: UnsafeRawBufferPointer) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = systemWrite(descriptor, UnsafeRawBufferPointer(rebasing: rest))
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        // Somebody made our terminal non-blocking; wait until it takes more.
        var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&poller, 1, 1000)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}

/// A write to a closed pipe then is an error to handle, not a signal that ends the process.
func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

/// Whether to use colours: on a terminal, unless the user asked for none (no-color.org).
func usesColor(_ stream: StandardStream, environment: [String: String]) -> Bool {
  stream.isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
}
