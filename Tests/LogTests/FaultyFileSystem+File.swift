import Synchronization
import TestSupport

@testable import Log

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The calls on an open file, or a lock.
extension FaultyFileSystem {
  static func truncate(_ node: Node, to size: Int) {
    if size < node.bytes.count {
      node.bytes.removeLast(node.bytes.count - size)
    } else {
      node.bytes += Array(repeating: 0, count: size - node.bytes.count)
    }
    node.isSizeDirty = true
    // The last sector's rest is gone; one beyond means nothing any more.
    if size % sectorBytes != 0 { node.dirty.insert(size / sectorBytes) }
    node.dirty = node.dirty.filter { $0 * sectorBytes < size }
  }

  func write(
    _ node: Node, _ path: String, _ bytes: UnsafeRawBufferPointer, at position: Int
  ) throws(IOFailure) -> Int {
    let node = UnsafeBox(value: node)
    return try call("pwrite", path) { state, fault in
      var count = bytes.count
      if fault != nil {
        count = Int.random(in: 0...count, using: &state.random)
      } else if state.isFlaky {
        if Int.random(in: 0..<4, using: &state.random) == 0 { return .failed(EINTR) }
        count = Int.random(in: min(1, count)...count, using: &state.random)
      }
      let node = node.value
      var fault = fault
      if fault == nil, state.diskBytes != nil, case let room = max(0, node.bytes.count - position) + state.freeBytes, room < count
      {
        count = room
        if count == 0 { fault = ENOSPC }
      }
      if position + count > node.bytes.count {
        node.bytes += Array(repeating: 0, count: position + count - node.bytes.count)
        node.isSizeDirty = true
      }
      node.bytes.replaceSubrange(position..<position + count, with: bytes[..<count])
      if count > 0 {
        for sector in position / FaultyFileSystem.sectorBytes...(position + count - 1) / FaultyFileSystem.sectorBytes {
          node.dirty.insert(sector)
        }
      }
      return fault.map { .failed($0) } ?? .done(count)
    }
  }

  func read(
    _ node: Node, _ path: String, _ bytes: UnsafeMutableRawBufferPointer, at position: Int
  ) throws(IOFailure) -> Int {
    let node = UnsafeBox(value: node)
    return try call("pread", path) { state, fault in
      if let fault { return .failed(fault) }
      let node = node.value
      var count = max(0, min(bytes.count, node.bytes.count - position))
      if state.isFlaky, count > 0 {
        if Int.random(in: 0..<4, using: &state.random) == 0 { return .failed(EINTR) }
        count = Int.random(in: 1...count, using: &state.random)
      }
      if count > 0 { bytes.copyBytes(from: node.bytes[position..<position + count]) }
      state.bytesRead[path, default: 0] += count
      return .done(count)
    }
  }

  func sync(_ node: Node, _ path: String) throws(IOFailure) {
    let node = UnsafeBox(value: node)
    try call("fdatasync", path) { state, fault -> Outcome<Void> in
      let node = node.value
      if let fault {
        // The kernel drops what it could not write, and calls it clean. Some of it may have arrived.
        node.durable = FaultyFileSystem.crashed(node, .arbitrary, &state.random).bytes
        node.dirty = []
        node.isSizeDirty = false
        return .failed(fault)
      }
      state.syncs += 1
      if node.isSizeDirty {
        if node.durable.count > node.bytes.count {
          node.durable.removeLast(node.durable.count - node.bytes.count)
        } else {
          node.durable += Array(repeating: 0, count: node.bytes.count - node.durable.count)
        }
      }
      for sector in node.dirty {
        let start = sector * FaultyFileSystem.sectorBytes
        let end = min(start + FaultyFileSystem.sectorBytes, node.bytes.count)
        guard start < end else { continue }
        if node.durable.count < end { node.durable += Array(repeating: 0, count: end - node.durable.count) }
        node.durable.replaceSubrange(start..<end, with: node.bytes[start..<end])
      }
      node.dirty = []
      node.isSizeDirty = false
      return .done(())
    }
  }

  func truncate(_ node: Node, _ path: String, to size: Int) throws(IOFailure) {
    let node = UnsafeBox(value: node)
    try call("ftruncate", path) { _, fault -> Outcome<Void> in
      if let fault { return .failed(fault) }
      FaultyFileSystem.truncate(node.value, to: size)
      return .done(())
    }
  }

  func size(_ node: Node, _ path: String) throws(IOFailure) -> Int {
    let node = UnsafeBox(value: node)
    return try call("fstat", path) { _, fault in fault.map { .failed($0) } ?? .done(node.value.bytes.count) }
  }

  /// The node is touched only under the file system's lock.
  final class FaultyFile: File, @unchecked Sendable {
    let path: String
    private let owner: FaultyFileSystem
    private let node: Node

    init(_ owner: FaultyFileSystem, _ path: String, _ node: Node) {
      self.owner = owner
      self.path = path
      self.node = node
    }

    func write(_ bytes: UnsafeRawBufferPointer, at position: Int) throws(IOFailure) -> Int {
      try owner.write(node, path, bytes, at: position)
    }
    func read(into bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(IOFailure) -> Int {
      try owner.read(node, path, bytes, at: position)
    }
    func syncData() throws(IOFailure) { try owner.sync(node, path) }
    func truncate(to size: Int) throws(IOFailure) { try owner.truncate(node, path, to: size) }
    func size() throws(IOFailure) -> Int { try owner.size(node, path) }
    func mark() throws(IOFailure) -> FileMark {
      let node = UnsafeBox(value: node)
      return owner.with { _ in FileMark(device: 1, inode: node.value.number, size: node.value.bytes.count) }
    }
  }

  final class FaultyLock: FileLock {
    private let owner: FaultyFileSystem
    private let path: String
    private let isHeld = Mutex(true)

    init(_ owner: FaultyFileSystem, _ path: String) {
      self.owner = owner
      self.path = path
    }

    deinit { release() }

    func mark() throws(IOFailure) -> FileMark? { isHeld.withLock { $0 } ? FileMark(device: 1, inode: 0, size: 0) : nil }

    func release() {
      if isHeld.withLock({ held in
        defer { held = false }
        return held
      }) {
        owner.unlock(path)
      }
    }
  }
}
