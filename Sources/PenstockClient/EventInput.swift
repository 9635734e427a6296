import CZlib
import Glibc
import Synchronization

/// The origin of the lines to send. Gzip is recognised by its first bytes.
public enum EventInput: Sendable {
  case file(String)
  case standardInput

  /// An argument of the command line: `-` is standard input.
  public init(argument: String) { self = argument == "-" ? .standardInput : .file(argument) }
}

/// Reads an input chunk by chunk, inflating it if it is compressed. Its calls block: not for an event loop.
final class EventInputReader: Sendable {
  enum Chunk {
    case bytes([UInt8])
    /// Nothing came for a while; more may.
    case idle
    case end
  }

  private struct State {
    var file: Int32
    var isOwned: Bool
    var raw = [UInt8](repeating: 0, count: chunkBytes)
    var isGzip: Bool?
    /// The range of compressed bytes in `raw` that are not inflated yet.
    var pending = 0..<0
    /// At one address: zlib refuses a stream that has moved.
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    var isStreamOpen = false
    /// Whether it is between two members of a gzip file, where the file may end.
    var isMemberEnd = false
    var isInputEnd = false
  }

  private static let chunkBytes = 256 * 1024
  /// How long to wait for input before saying that there is none.
  private static let idleMilliseconds: Int32 = 100

  /// The file's bytes as it lies on disk; nil when unknown.
  let fileBytes: Int?
  private let name: String
  private let bytesRead = Atomic<Int>(0)
  private let state: Mutex<State>

  init(_ input: EventInput) throws(DeviceClientError) {
    switch input {
    case .standardInput:
      name = "standard input"
      fileBytes = nil
      state = Mutex(State(file: STDIN_FILENO, isOwned: false))
    case .file(let path):
      let file = open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw DeviceClientError(.input, "cannot open \(path): \(String(cString: strerror(errno)))") }
      var info = stat()
      fileBytes = fstat(file, &info) == 0 && info.st_mode & S_IFMT == S_IFREG ? Int(info.st_size) : nil
      name = path
      state = Mutex(State(file: file, isOwned: true))
    }
  }

  deinit {
    state.withLock { state in
      if state.isStreamOpen { inflateEnd(state.stream) }
      state.stream.deallocate()
      if state.isOwned { close(state.file) }
    }
  }

  /// The position in the file as it lies on disk, so in compressed bytes for `.gz`.
  var position: Int { bytesRead.load(ordering: .relaxed) }

  func next() throws(DeviceClientError) -> Chunk {
    let result = state.withLock { state -> Result<Chunk, DeviceClientError> in
      do throws(DeviceClientError) {
        return .success(try next(&state))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private func next(_ state: inout State) throws(DeviceClientError) -> Chunk {
    if state.isGzip == nil {
      // Two bytes tell, and may come one by one from a pipe.
      while state.pending.count < 2, !state.isInputEnd {
        guard try fill(&state) else { return .idle }
      }
      state.isGzip = state.pending.count >= 2 && state.raw[0] == 0x1F && state.raw[1] == 0x8B
    }
    guard state.isGzip == true else {
      if state.pending.isEmpty, !state.isInputEnd {
        guard try fill(&state) else { return .idle }
      }
      defer { state.pending = 0..<0 }
      return state.pending.isEmpty ? .end : .bytes(Array(state.raw[state.pending]))
    }
    while true {
      if state.pending.isEmpty, !state.isInputEnd {
        guard try fill(&state) else { return .idle }
      }
      if state.pending.isEmpty {
        guard state.isMemberEnd else { throw DeviceClientError(.input, "\(name) is cut: its gzip stream has no end") }
        return .end
      }
      let inflated = try inflate(&state)
      if !inflated.isEmpty { return .bytes(inflated) }
    }
  }

  /// Reads once, appending to the pending bytes.
  /// - Returns: False if nothing came in time.
  private func fill(_ state: inout State) throws(DeviceClientError) -> Bool {
    if state.pending.isEmpty { state.pending = 0..<0 }
    var poller = pollfd(fd: state.file, events: Int16(POLLIN), revents: 0)
    guard poll(&poller, 1, EventInputReader.idleMilliseconds) != 0 else { return false }
    let start = state.pending.upperBound, file = state.file
    let count = state.raw.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress! + start, $0.count - start) }
    guard count >= 0 else {
      if errno == EINTR || errno == EAGAIN { return false }
      throw DeviceClientError(.input, "cannot read \(name): \(String(cString: strerror(errno)))")
    }
    if count == 0 { state.isInputEnd = true }
    bytesRead.add(count, ordering: .relaxed)
    state.pending = state.pending.lowerBound..<start + count
    return true
  }

  private func inflate(_ state: inout State) throws(DeviceClientError) -> [UInt8] {
    if !state.isStreamOpen {
      state.stream.initialize(to: z_stream())
      // 16 above the largest window: gzip's header and trailer.
      guard czlib_inflate_init(state.stream, 15 + 16) == Z_OK else { throw DeviceClientError(.input, "no memory to inflate") }
      state.isStreamOpen = true
    }
    if state.isMemberEnd {
      // A gzip file may have several members.
      state.isMemberEnd = false
      inflateReset(state.stream)
    }
    var status = Z_OK
    let pending = state.pending
    let stream = state.stream
    let output = [UInt8](unsafeUninitializedCapacity: EventInputReader.chunkBytes) { target, made in
      state.raw.withUnsafeMutableBufferPointer { raw in
        stream.pointee.next_in = raw.baseAddress! + pending.lowerBound
        stream.pointee.avail_in = UInt32(pending.count)
        stream.pointee.next_out = target.baseAddress
        stream.pointee.avail_out = UInt32(target.count)
        status = CZlib.inflate(stream, Z_NO_FLUSH)
      }
      made = target.count - Int(stream.pointee.avail_out)
    }
    state.pending = pending.upperBound - Int(stream.pointee.avail_in)..<pending.upperBound
    switch status {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: state.isMemberEnd = true
    default: throw DeviceClientError(.input, "\(name) is damaged: its gzip stream does not inflate (\(status))")
    }
    return output
  }
}
