import Events

/// Walks through a segment's batches from a position up to a limit.
///
/// Reads ahead through a window, so that small batches share a system call and large ones are read straight into the array they
/// stay in.
struct SegmentCursor: ~Copyable {
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

  /// The header at the cursor; nil at the limit.
  /// - Parameters:
  ///   - partition: Whose the batch has to be; nil for anybody's.
  ///   - expected: The offset that it has to begin with; nil for any.
  /// - Throws: `.damaged` for a header that does not check or is another's, and for a batch that would pass the limit.
  mutating func header(of partition: PartitionID? = nil, at expected: Offset? = nil) throws(ReadFailure) -> BatchHeader? {
    guard position < limit else { return nil }
    guard limit - position >= BatchHeader.byteCount else { throw .damaged(BatchError(.truncated, at: limit - position)) }
    if position < windowStart || position + BatchHeader.byteCount > windowStart + windowCount {
      do throws(IOFailure) { try fill() } catch { throw .io(error) }
    }
    guard position + BatchHeader.byteCount <= windowStart + windowCount else {
      // The file is shorter than the limit says.
      throw .damaged(BatchError(.truncated, at: windowStart + windowCount - position))
    }
    do throws(BatchError) {
      let start = position - windowStart
      let header = try BatchHeader(parsing: UnsafeRawBufferPointer(rebasing: window[start..<start + BatchHeader.byteCount]))
      guard header.batchBytes <= limit - position else { throw BatchError(.truncated, at: limit - position) }
      guard partition ?? header.partition == header.partition, expected ?? header.baseOffset == header.baseOffset else {
        throw BatchError(.bounds, at: 6)
      }
      return header
    } catch {
      throw .damaged(error)
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
