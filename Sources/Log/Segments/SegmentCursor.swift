import Events

/// Walks through a segment's batches from a position up to a limit.
///
/// Reads ahead through a window, so that small batches share a system call and large ones are read straight into the array they
/// stay in.
struct SegmentCursor: ~Copyable {
  /// The kind of bytes at the cursor.
  enum Header {
    case batch(BatchHeader)
    case end
    case damaged(BatchError)
  }

  static let windowBytesMax = 64 << 10

  let file: any File
  /// The position at which the next batch begins.
  private(set) var position: Int
  let limit: Int
  private let window: UnsafeMutableRawBufferPointer
  private var windowStart = 0
  private var windowCount = 0

  /// - Parameter limit: At most the file's size; later bytes are not read.
  init(_ file: any File, from position: Int, to limit: Int) {
    self.file = file
    self.position = position
    self.limit = limit
    let wanted = min(SegmentCursor.windowBytesMax, max(limit - position, BatchHeader.byteCount))
    window = .allocate(byteCount: wanted, alignment: 16)
  }

  deinit { window.deallocate() }

  /// The header at the cursor. A batch that passes the limit is damaged: truncated.
  mutating func header() throws(IOFailure) -> Header {
    guard position < limit else { return .end }
    guard limit - position >= BatchHeader.byteCount else { return .damaged(BatchError(.truncated, at: limit - position)) }
    if position < windowStart || position + BatchHeader.byteCount > windowStart + windowCount { try fill() }
    guard position + BatchHeader.byteCount <= windowStart + windowCount else {
      // The file is shorter than the limit says.
      return .damaged(BatchError(.truncated, at: windowStart + windowCount - position))
    }
    do throws(BatchError) {
      let start = position - windowStart
      let header = try BatchHeader(parsing: UnsafeRawBufferPointer(rebasing: window[start..<start + BatchHeader.byteCount]))
      guard header.batchBytes <= limit - position else { return .damaged(BatchError(.truncated, at: limit - position)) }
      return .batch(header)
    } catch {
      return .damaged(error)
    }
  }

  /// Moves past the batch at the cursor without looking at its payload.
  mutating func skip(_ header: BatchHeader) { position += header.batchBytes }

  /// Checks the batch at the cursor, and moves past it. The cursor stays when the batch is damaged.
  mutating func batch(_ header: BatchHeader) throws(ReadFailure) -> ColumnBatch {
    let bytes: [UInt8]
    do throws(IOFailure) { bytes = try encoded(header) } catch { throw .io(error) }
    guard bytes.count == header.batchBytes else { throw .damaged(BatchError(.truncated, at: bytes.count)) }
    do throws(BatchError) {
      let batch = try ColumnBatch(encoded: bytes)
      position += header.batchBytes
      return batch
    } catch {
      throw .damaged(error)
    }
  }

  private mutating func encoded(_ header: BatchHeader) throws(IOFailure) -> [UInt8] {
    let start = position - windowStart
    let ready = min(windowCount - start, header.batchBytes)
    var failure: IOFailure?
    let bytes = [UInt8](unsafeUninitializedCapacity: header.batchBytes) { buffer, initialized in
      let target = UnsafeMutableRawBufferPointer(buffer)
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: window[start..<start + ready]))
      initialized = ready
      guard ready < header.batchBytes else { return }
      do throws(IOFailure) {
        initialized += try file.readFull(
          into: UnsafeMutableRawBufferPointer(rebasing: target[ready..<header.batchBytes]), at: position + ready)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  private mutating func fill() throws(IOFailure) {
    windowStart = position
    windowCount = 0
    let wanted = min(window.count, limit - position)
    windowCount = try file.readFull(into: UnsafeMutableRawBufferPointer(rebasing: window[0..<wanted]), at: position)
  }
}

/// The reason why a batch could not be read.
enum ReadFailure: Error {
  case io(IOFailure)
  case damaged(BatchError)
}
