import Dispatch
import Foundation
import SQLite
import Synchronization

/// A worker's SQLite file in WAL mode: one connection that writes and a few that read, none of which waits for another.
final class StateFile: Sendable {
  /// Reads at a time; further ones wait.
  private static let readersMax = 8

  private struct Readers {
    var idle: [StateReader] = []
    /// The readers that are idle or at work. A reader pinned at once is not counted: it may be held for long, and no other read
    /// is to wait for it.
    var count = 0
    var made = 0
    var waiting: [CheckedContinuation<StateReader, Never>] = []
  }

  let path: String
  private let writer: StateWriter
  private let readers = Mutex(Readers())

  init(path: String) throws(SQLiteError) {
    self.path = path
    writer = StateWriter(try SQLiteConnection(path: path))
  }

  /// Runs `body` with the connection that writes, when it is free, blocking the calling thread.
  func withWriter<R>(_ body: (SQLiteConnection) throws -> R) throws -> R { try writer.run(body) }

  func write<R>(_ body: (SQLiteConnection) throws -> R) throws -> R {
    try writer.run { connection in try connection.transaction { try body(connection) } }
  }

  /// Runs `body` as of one moment, on a reader's thread.
  func read<R: Sendable>(
    _ body: @escaping @Sendable (SQLiteConnection, ReadStop) throws -> R
  ) async throws -> R {
    let reader = await takeReader()
    defer { giveBack(reader) }
    return try await reader.run { db, stop in try db.transaction(.deferred) { try body(db, stop) } }
  }

  /// A reader in its turn, to see the file at a moment that is still to come: one of those that there are at most. Who holds one
  /// must not wait for another of this file.
  func pinInTurn() async -> StatePin { StatePin(self, await takeReader(), isInTurn: true) }

  /// A reader as `pinInTurn`, besides those for all. It is there at once: who holds one may need another before it ends.
  func pin() -> StatePin {
    let reader = readers.withLock { readers in
      if let reader = readers.idle.popLast() {
        readers.count -= 1
        return reader
      }
      readers.made += 1
      return StateReader(path: path, number: readers.made)
    }
    return StatePin(self, reader, isInTurn: false)
  }

  /// Bytes of a file and of its write-ahead log.
  static func byteCount(of path: String) -> Int {
    ["", "-wal"].reduce(0) { sum, end in
      sum + (((try? FileManager.default.attributesOfItem(atPath: path + end)[.size]) as? Int) ?? 0)
    }
  }

  /// The reason why a file is not whole, known before it is opened; nil when there is none. SQLite reads the missing
  /// part of a last page as zeros, which are no error in the middle of a row.
  ///
  /// Source: https://www.sqlite.org/fileformat.html, "The Database Header".
  static func damage(at path: String) -> String? {
    // With pages in the write-ahead log, the file itself need not be whole.
    if let log = try? FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int, log > 0 { return nil }
    guard let file = FileHandle(forReadingAtPath: path) else { return nil }
    defer { try? file.close() }
    guard let header = try? file.read(upToCount: 100), header.count == 100, let size = try? file.seekToEnd() else { return nil }
    func number(_ offset: Int, _ bytes: Int) -> UInt64 { header[offset..<(offset + bytes)].reduce(0) { $0 << 8 | UInt64($1) } }
    let pageBytes = number(16, 2) == 1 ? 65_536 : number(16, 2)
    // Libraries older than any of ours leave the count of pages out of date; the change counters show it.
    guard pageBytes >= 512, number(24, 4) == number(92, 4) else { return nil }
    let wanted = number(28, 4) * pageBytes
    return size < wanted ? "it has \(size) bytes of \(wanted)" : nil
  }

  func close() {
    let idle = readers.withLock { readers in
      defer { readers.idle = [] }
      return readers.idle
    }
    for reader in idle { reader.close() }
    writer.close()
  }

  private func takeReader() async -> StateReader {
    await withCheckedContinuation { continuation in
      let reader = readers.withLock { readers -> StateReader? in
        if let reader = readers.idle.popLast() { return reader }
        guard readers.count < StateFile.readersMax else {
          readers.waiting.append(continuation)
          return nil
        }
        readers.count += 1
        readers.made += 1
        return StateReader(path: path, number: readers.made)
      }
      if let reader { continuation.resume(returning: reader) }
    }
  }

  fileprivate func giveBack(_ reader: StateReader) {
    let next = readers.withLock { readers -> CheckedContinuation<StateReader, Never>? in
      guard readers.waiting.isEmpty else { return readers.waiting.removeFirst() }
      readers.idle.append(reader)
      return nil
    }
    next?.resume(returning: reader)
  }

  /// A pin's reader becomes one of the others if there is room; there is none while any read waits.
  fileprivate func giveBackPinned(_ reader: StateReader) {
    readers.withLock { readers in
      guard readers.count < StateFile.readersMax else { return }
      readers.count += 1
      readers.idle.append(reader)
    }
  }
}

/// The connection that writes: the worker, its replays and the table of generations take turns.
///
/// Invariant for `@unchecked`: `connection` is used on `queue` only.
private final class StateWriter: @unchecked Sendable {
  private let queue = DispatchQueue(label: "penstock.state")
  private var connection: SQLiteConnection?

  init(_ connection: consuming SQLiteConnection) { self.connection = connection }

  func run<R>(_ body: (SQLiteConnection) throws -> R) throws -> R {
    try queue.sync {
      guard let connection else { throw SQLiteError.closed }
      return try body(connection)
    }
  }

  func close() { queue.sync { connection = nil } }
}

/// Ends a read whose caller has left.
final class ReadStop: Sendable {
  private let isSet = Atomic<Bool>(false)

  fileprivate func set() { isSet.store(true, ordering: .relaxed) }
  func check() throws { if isSet.load(ordering: .relaxed) { throw CancellationError() } }
}

/// A connection that reads, with a thread of its own: SQLite blocks, so it must not run on the shared pool.
///
/// Invariant for `@unchecked`: `connection` is used on `queue` only.
private final class StateReader: @unchecked Sendable {
  private let path: String
  private let queue: DispatchQueue
  private var connection: SQLiteConnection?

  init(path: String, number: Int) {
    self.path = path
    queue = DispatchQueue(label: "penstock.state.reader.\(number)")
  }

  func run<R: Sendable>(_ body: @escaping @Sendable (SQLiteConnection, ReadStop) throws -> R) async throws -> R {
    let stop = ReadStop()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        queue.async { continuation.resume(with: Result { try body(try self.opened(), stop) }) }
      }
    } onCancel: {
      stop.set()
    }
  }

  /// Runs `body` now, blocking the calling thread.
  func runNow(_ body: (SQLiteConnection) throws -> Void) throws { try queue.sync { try body(try opened()) } }

  /// Ends a transaction begun by `runNow`, on the reader's thread, which may be the calling one.
  func end(then done: @escaping @Sendable () -> Void) {
    queue.async {
      self.connection?.rollBack()
      done()
    }
  }

  func close() { queue.sync { connection = nil } }

  private func opened() throws -> SQLiteConnection {
    if let connection { return connection }
    let opened = try SQLiteConnection(path: path)
    try opened.execute("PRAGMA query_only = ON")
    connection = opened
    return opened
  }
}

/// An open read transaction: the file as it was at one moment, for as long as this is held.
final class StatePin: Sendable {
  private let file: StateFile
  private let reader: StateReader
  private let isInTurn: Bool

  fileprivate init(_ file: StateFile, _ reader: StateReader, isInTurn: Bool) {
    self.file = file
    self.reader = reader
    self.isInTurn = isInTurn
  }

  deinit {
    reader.end { [file, reader, isInTurn] in if isInTurn { file.giveBack(reader) } else { file.giveBackPinned(reader) } }
  }

  /// Fixes the moment. It reads one row, and blocks for as long.
  func begin() throws {
    try reader.runNow { db in
      try db.execute("BEGIN DEFERRED")
      _ = try db.first("SELECT value FROM meta LIMIT 1") { $0.int(0) }
    }
  }

  func read<R: Sendable>(_ body: @escaping @Sendable (SQLiteConnection, ReadStop) throws -> R) async throws -> R {
    try await reader.run(body)
  }
}

extension SQLiteError {
  fileprivate static let closed = SQLiteError(code: 21, message: "the file is closed")
}
