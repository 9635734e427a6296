import NIOCore

/// Memory that all connections of one event loop share: a message that comes whole in one read is unmasked into it, and
/// messages that come in pieces borrow their buffers from it. So a connection holds no memory between two messages.
///
/// Not Sendable: one per event loop (see `WebSocketScratchPool`), or one per test.
public final class WebSocketScratch {
  /// Readable zero bytes after each message's payload, so that a scanner may load whole blocks.
  public static let paddingBytes = 64

  /// The most buffers kept for later messages, each of at most `keptBytesMax`.
  private static let keptMax = 8
  private static let keptBytesMax = 256 * 1024
  private static let firstBytes = 4 * 1024

  /// Grows to the largest read.
  private(set) var base: UnsafeMutableRawPointer
  private(set) var capacity: Int
  private var kept: [MessageBuffer.Storage] = []

  public init() {
    capacity = 64 * 1024
    base = .allocate(byteCount: capacity + Self.paddingBytes, alignment: 64)
  }

  deinit {
    base.deallocate()
    for storage in kept { storage.base.deallocate() }
  }

  @inline(__always)
  func reserve(_ bytes: Int) {
    if bytes > capacity { grow(to: bytes) }
  }

  @inline(never)
  private func grow(to bytes: Int) {
    base.deallocate()
    capacity = bytes.nextPowerOf2()
    base = .allocate(byteCount: capacity + Self.paddingBytes, alignment: 64)
  }

  var keptBytes: Int { kept.reduce(0) { $0 + $1.capacity } }

  func lend(to buffer: inout MessageBuffer) {
    buffer.adopt(kept.popLast() ?? MessageBuffer.Storage(capacity: Self.firstBytes))
  }

  func takeBack(from buffer: inout MessageBuffer) {
    guard let storage = buffer.release() else { return }
    if storage.capacity <= Self.keptBytesMax && kept.count < Self.keptMax {
      kept.append(storage)
    } else {
      storage.base.deallocate()
    }
  }
}

extension Int {
  fileprivate func nextPowerOf2() -> Int {
    self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
  }
}

/// One scratch for each event loop of a group.
public struct WebSocketScratchPool: Sendable {
  private let scratches: [ObjectIdentifier: NIOLoopBoundBox<WebSocketScratch>]

  public init(_ group: any EventLoopGroup) {
    var scratches: [ObjectIdentifier: NIOLoopBoundBox<WebSocketScratch>] = [:]
    for loop in group.makeIterator() {
      scratches[ObjectIdentifier(loop)] = NIOLoopBoundBox.makeBoxSendingValue(WebSocketScratch(), eventLoop: loop)
    }
    self.scratches = scratches
  }

  /// To be called on `loop`, once per connection. A loop that the group doesn't have gets a scratch of its own.
  public func scratch(on loop: any EventLoop) -> WebSocketScratch {
    scratches[ObjectIdentifier(loop)]?.value ?? WebSocketScratch()
  }
}
