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

/// A file system in memory that fails and crashes as it is told to.
///
/// The fault model:
/// - A file is sectors of 512 bytes. Writes go to the cache; `syncData` makes a file's dirty sectors and its size durable.
/// - Power loss: each dirty sector is, on its own, as it was or as it was written. The file has its old size or a new one large
///   enough for the sectors kept; what was never written in between reads as zeros. A cut that was not synced may be undone.
/// - A failed sync: the sectors count as clean. They read as written, but no later sync makes them durable unless they are
///   written again.
/// - Names: creating, renaming and removing are, per directory, kept in order; a power loss keeps some first part of those since
///   the directory was last synced. A file whose name is lost is lost.
/// - A kill: everything written stays in the cache, clean or dirty as it was.
/// - The disk may be full: a write takes what fits, and fails.
/// - Any call may fail with any error; a failing write may have written a part first. Writes and reads may be short, or
///   interrupted.
/// - Not modelled: sectors that rot by themselves (tests flip bits in files instead), a disk that lies about syncs, pages that
///   are dropped from the cache after a failed sync while the process lives.
final class FaultyFileSystem: FileSystem {
  static let sectorBytes = 512

  enum Fault {
    case fail(Int32)
    /// The machine stops at this call: it and all later ones fail, and `afterCrash` gives what is left.
    case stop
  }

  final class Node {
    /// Tells it from every other.
    let number = Node.nextNumber.add(1, ordering: .relaxed).newValue
    private static let nextNumber = Atomic<UInt64>(0)
    var bytes: [UInt8] = []
    var durable: [UInt8] = []
    var dirty: Set<Int> = []
    var isSizeDirty = false

    func copy() -> Node {
      let node = Node()
      node.bytes = bytes
      node.durable = durable
      node.dirty = dirty
      node.isSizeDirty = isSizeDirty
      return node
    }
  }

  enum NameChange {
    case file(String, Node)
    case directory(String)
    case remove(String)
    case rename(String, String)

    var directory: String {
      switch self {
      case .file(let path, _), .directory(let path), .remove(let path), .rename(let path, _): FaultyFileSystem.parent(path)
      }
    }
  }

  struct State {
    var files: [String: Node] = [:]
    var directories: Set<String> = ["/"]
    var durableFiles: [String: Node] = [:]
    var durableDirectories: Set<String> = ["/"]
    var changes: [NameChange] = []
    var locked: Set<String> = []
    var calls = 0
    var faults: [Int: Fault] = [:]
    var isFlaky = false
    var isStopped = false
    var random = SeededGenerator(seed: 0)
    var bytesRead: [String: Int] = [:]
    var syncs = 0
    /// The room of the disk for all files together; nil is without end.
    var diskBytes: Int?

    var freeBytes: Int { diskBytes.map { max(0, $0 - files.values.reduce(0) { $0 + $1.bytes.count }) } ?? .max }
  }

  /// The nodes are touched only under the lock.
  private struct Guarded: @unchecked Sendable { var state = State() }
  private let guarded: Mutex<Guarded>

  init(seed: UInt64 = 0) {
    guarded = Mutex(Guarded())
    with { $0.random = SeededGenerator(seed: seed) }
  }

  func with<R>(_ body: (inout State) -> R) -> R {
    guarded.withLock { guarded in
      // Nothing of the state leaves: results are values, or nodes that are only used under the lock again.
      var out: UnsafeBox<R>?
      out = UnsafeBox(value: body(&guarded.state))
      return out.unsafelyUnwrapped
    }.value
  }

  struct UnsafeBox<R>: @unchecked Sendable { let value: R }

  // MARK: Settings and counts for tests

  var calls: Int { with { $0.calls } }
  var syncs: Int { with { $0.syncs } }
  func bytesRead(suffix: String) -> Int { with { $0.bytesRead.filter { $0.key.hasSuffix(suffix) }.reduce(0) { $0 + $1.value } } }
  func resetAccounting() { with { $0.bytesRead = [:] } }
  /// The call with this number, counted from now, meets the fault.
  func inject(_ fault: Fault, after calls: Int) { with { $0.faults[$0.calls + calls] = fault } }
  func clearFaults() { with { $0.faults = [:] } }
  /// From now on writes and reads are short or interrupted at random.
  func makeFlaky() { with { $0.isFlaky = true } }
  /// From now on the disk holds so much; writes beyond take what fits and fail with ENOSPC.
  func setDiskBytes(_ bytes: Int?) { with { $0.diskBytes = bytes } }
  var usedBytes: Int { with { $0.files.values.reduce(0) { $0 + $1.bytes.count } } }
  var isStopped: Bool { with { $0.isStopped } }
  func contents(_ path: String) -> [UInt8]? { with { $0.files[path]?.bytes } }
  var paths: [String] { with { $0.files.keys.sorted() } }

  /// Puts contents under a path, durable.
  func set(_ path: String, _ bytes: [UInt8]) {
    with { state in
      let node = Node()
      node.bytes = bytes
      node.durable = bytes
      state.files[path] = node
      state.durableFiles[path] = node
    }
  }

  func delete(_ path: String) {
    with { state in
      state.files[path] = nil
      state.durableFiles[path] = nil
    }
  }

  enum Crash: CaseIterable {
    /// Unsynced sectors and names each as chance has it.
    case arbitrary
    /// Nothing unsynced survives.
    case dropAll
    /// The process dies, the machine does not.
    case kill
  }

  /// The file system that the next process finds. This one fails every call from now on.
  func afterCrash(_ crash: Crash, seed: UInt64) -> FaultyFileSystem {
    let next = FaultyFileSystem(seed: seed &+ 1)
    var random = SeededGenerator(seed: seed)
    let state = with { state in
      state.isStopped = true
      return UnsafeBox(value: FaultyFileSystem.crashed(state, crash, &random))
    }
    next.with { $0 = state.value }
    next.with { $0.random = SeededGenerator(seed: seed &+ 1) }
    return next
  }

  static func crashed(_ state: State, _ crash: Crash, _ random: inout SeededGenerator) -> State {
    var result = State()
    if crash == .kill {
      var copies: [ObjectIdentifier: Node] = [:]
      func copy(_ node: Node) -> Node {
        if let known = copies[ObjectIdentifier(node)] { return known }
        let made = node.copy()
        copies[ObjectIdentifier(node)] = made
        return made
      }
      result.files = state.files.mapValues(copy)
      result.durableFiles = state.durableFiles.mapValues(copy)
      result.directories = state.directories
      result.durableDirectories = state.durableDirectories
      result.changes = state.changes.map { change in
        if case .file(let path, let node) = change { .file(path, copy(node)) } else { change }
      }
      return result
    }
    result.durableFiles = state.durableFiles
    result.durableDirectories = state.durableDirectories
    var kept: [String: Int] = [:]
    for directory in Set(state.changes.map(\.directory)).sorted() {
      let count = state.changes.count { $0.directory == directory }
      kept[directory] = crash == .dropAll ? 0 : Int.random(in: 0...count, using: &random)
    }
    for change in state.changes where kept[change.directory, default: 0] > 0 {
      kept[change.directory, default: 0] -= 1
      apply(change, &result)
    }
    result.durableFiles = result.durableFiles.filter { result.durableDirectories.contains(parent($0.key)) }
    for path in result.durableFiles.keys.sorted() {
      guard let node = result.durableFiles[path] else { continue }
      result.durableFiles[path] = crashed(node, crash, &random)
    }
    result.files = result.durableFiles
    result.directories = result.durableDirectories
    return result
  }

  static func crashed(_ node: Node, _ crash: Crash, _ random: inout SeededGenerator) -> Node {
    let result = Node()
    result.bytes = node.durable
    if crash == .arbitrary {
      // Sometimes all or none, so that these are not as rare as chance makes them.
      let odds = [0.0, 0.2, 0.5, 0.8, 1.0].randomElement(using: &random) ?? 0.5
      if node.isSizeDirty {
        let isNewSize = Double.random(in: 0..<1, using: &random) < odds
        if node.bytes.count < node.durable.count {
          if isNewSize { result.bytes.removeLast(node.durable.count - node.bytes.count) }
        } else if isNewSize {
          let between = Int.random(in: node.durable.count...node.bytes.count, using: &random)
          let size = Bool.random(using: &random) ? node.bytes.count : between
          result.bytes += Array(repeating: 0, count: size - result.bytes.count)
        }
      }
      for sector in node.dirty.sorted() where Double.random(in: 0..<1, using: &random) < odds {
        let start = sector * sectorBytes
        let end = min(start + sectorBytes, node.bytes.count)
        guard start < end else { continue }
        if result.bytes.count < end { result.bytes += Array(repeating: 0, count: end - result.bytes.count) }
        result.bytes.replaceSubrange(start..<end, with: node.bytes[start..<end])
      }
    }
    result.durable = result.bytes
    return result
  }

  private static func apply(_ change: NameChange, _ state: inout State) {
    switch change {
    case .file(let path, let node): state.durableFiles[path] = node
    case .directory(let path): state.durableDirectories.insert(path)
    case .remove(let path): state.durableFiles[path] = nil
    case .rename(let path, let newPath): state.durableFiles[newPath] = state.durableFiles.removeValue(forKey: path)
    }
  }

  static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
    return String(path[..<slash])
  }

  // MARK: FileSystem

  enum Outcome<R> {
    case done(R)
    case failed(Int32)
  }

  /// Counts a call, and lets it fail if it is its turn.
  func call<R>(
    _ name: String, _ path: String, _ body: (inout State, _ fault: Int32?) -> Outcome<R>
  ) throws(IOFailure) -> R {
    let outcome: Outcome<R> = with { state in
      if state.isStopped { return .failed(EIO) }
      state.calls += 1
      switch state.faults.removeValue(forKey: state.calls) {
      case .stop:
        state.isStopped = true
        // The machine stops in the middle of the call.
        if case .done = body(&state, EIO) { return .failed(EIO) }
        return .failed(EIO)
      case .fail(let code):
        return body(&state, code)
      case nil:
        return body(&state, nil)
      }
    }
    switch outcome {
    case .done(let result): return result
    case .failed(let code): throw IOFailure(name, path, errno: code)
    }
  }

  func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
    let node: UnsafeBox<Node> = try call("open", path) { state, fault in
      if let fault { return .failed(fault) }
      if let node = state.files[path] {
        if mode == .create { FaultyFileSystem.truncate(node, to: 0) }
        return .done(UnsafeBox(value: node))
      }
      guard mode == .create, state.directories.contains(FaultyFileSystem.parent(path)) else { return .failed(ENOENT) }
      let node = Node()
      state.files[path] = node
      state.changes.append(.file(path, node))
      return .done(UnsafeBox(value: node))
    }
    return FaultyFile(self, path, node.value)
  }

  func list(_ directory: String) throws(IOFailure) -> [String] {
    try call("list", directory) { state, fault in
      if let fault { return .failed(fault) }
      guard state.directories.contains(directory) else { return .failed(ENOENT) }
      let all =
        state.files.keys.filter { FaultyFileSystem.parent($0) == directory }
        + state.directories.filter { $0 != "/" && FaultyFileSystem.parent($0) == directory }
      return .done(all.map { String($0.dropFirst(directory == "/" ? 1 : directory.count + 1)) }.shuffled(using: &state.random))
    }
  }

  func createDirectory(_ path: String) throws(IOFailure) -> Bool {
    try call("mkdir", path) { state, fault in
      if let fault { return .failed(fault) }
      guard state.directories.contains(FaultyFileSystem.parent(path)) else { return .failed(ENOENT) }
      guard state.directories.insert(path).inserted else { return .done(false) }
      state.changes.append(.directory(path))
      return .done(true)
    }
  }

  func rename(_ path: String, to newPath: String) throws(IOFailure) {
    try call("rename", path) { state, fault -> Outcome<Void> in
      if let fault { return .failed(fault) }
      guard let node = state.files.removeValue(forKey: path) else { return .failed(ENOENT) }
      state.files[newPath] = node
      state.changes.append(.rename(path, newPath))
      return .done(())
    }
  }

  func remove(_ path: String) throws(IOFailure) {
    try call("remove", path) { state, fault -> Outcome<Void> in
      if let fault { return .failed(fault) }
      guard state.files.removeValue(forKey: path) != nil else { return .failed(ENOENT) }
      state.changes.append(.remove(path))
      return .done(())
    }
  }

  func syncDirectory(_ path: String) throws(IOFailure) {
    try call("fsync", path) { state, fault -> Outcome<Void> in
      if let fault { return .failed(fault) }
      for change in state.changes where change.directory == path { FaultyFileSystem.apply(change, &state) }
      state.changes.removeAll { $0.directory == path }
      return .done(())
    }
  }

  func freeBytes(_ directory: String) throws(IOFailure) -> Int {
    try call("statvfs", directory) { state, fault in fault.map { .failed($0) } ?? .done(state.freeBytes) }
  }

  /// Not counted as a call: nothing is decided by it but that files are gone, which no fault here does.
  func mark(of path: String) throws(IOFailure) -> FileMark? {
    with { state in
      if let node = state.files[path] { return FileMark(device: 1, inode: node.number, size: node.bytes.count) }
      return state.directories.contains(path) || state.locked.contains(path) ? FileMark(device: 1, inode: 0, size: 0) : nil
    }
  }

  func lock(_ path: String) throws(IOFailure) -> any FileLock {
    try call("lock", path) { state, fault -> Outcome<Void> in
      if let fault { return .failed(fault) }
      return state.locked.insert(path).inserted ? .done(()) : .failed(EWOULDBLOCK)
    }
    return FaultyLock(self, path)
  }

  func unlock(_ path: String) { with { _ = $0.locked.remove(path) } }
}
