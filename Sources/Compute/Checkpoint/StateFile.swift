import Dispatch
import Foundation
import SQLite
import Synchronization

/// A worker's SQLite file in WAL mode: one connection that writes and a few that read, none of which waits for another.
final class StateFile: Sendable {
  /// Reads at a time; more wait for their turn.
  private static let readersMax = 4

  private struct Readers {
    var idle: [StateReader] = []
    var count = 0
    var waiting: [CheckedContinuation<StateReader, Never>] = []
  }

  let path: String
  private let writer: StateWriter
  private let readers = Mutex(Readers())

  /// Opens or makes the file.
  init(path: String) throws(SQLiteError) {
    self.path = path
    writer = StateWriter(try SQLiteConnection(path: path))
  }

  /// Runs `body` with the connection that writes, when it is free: on the calling thread's time.
  func withWriter<R>(_ body: (SQLiteConnection) throws -> R) throws -> R { try writer.run(body) }

  /// Runs `body` in one transaction.
  func write<R>(_ body: (SQLiteConnection) throws -> R) throws -> R {
    try writer.run { connection in try connection.transaction { try body(connection) } }
  }

  /// Runs `body` as of one moment, on a reader's thread.
  func read<R: Sendable>(_ body: @Sendable (SQLiteConnection) throws -> R) async throws -> R {
    let reader = await takeReader()
    defer { giveBack(reader) }
    return try await reader.run { connection in try connection.transaction(.deferred) { try body(connection) } }
  }

  /// What shows, before it is opened, that a file is not whole; nil when nothing does. SQLite reads what is missing of a last page as zeros, which are
  /// no error in the middle of a row.
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
    // Older libraries than any of ours leave the count of pages behind; the change counters tell.
    guard pageBytes >= 512, number(24, 4) == number(92, 4) else { return nil }
    let wanted = number(28, 4) * pageBytes
    return size < wanted ? "it has \(size) bytes of \(wanted)" : nil
  }

  func close() async {
    let idle = readers.withLock { readers in
      defer { readers.idle = [] }
      return readers.idle
    }
    for reader in idle { await reader.close() }
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
        return StateReader(path: path, number: readers.count)
      }
      if let reader { continuation.resume(returning: reader) }
    }
  }

  private func giveBack(_ reader: StateReader) {
    let next = readers.withLock { readers -> CheckedContinuation<StateReader, Never>? in
      guard readers.waiting.isEmpty else { return readers.waiting.removeFirst() }
      readers.idle.append(reader)
      return nil
    }
    next?.resume(returning: reader)
  }
}

/// The connection that writes: the worker, its replays and the table of generations take turns.
///
/// Invariant for `@unchecked`: `connection` is touched on `queue` only.
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

/// A connection that reads, on a thread of its own: SQLite blocks, so it must not run on the shared pool.
private actor StateReader {
  private let path: String
  private let executor: WorkerExecutor
  private var connection: SQLiteConnection?

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(path: String, number: Int) {
    self.path = path
    executor = WorkerExecutor(label: "penstock.state.reader.\(number)")
  }

  func run<R: Sendable>(_ body: @Sendable (SQLiteConnection) throws -> R) throws -> R {
    if connection == nil {
      let opened = try SQLiteConnection(path: path)
      try opened.execute("PRAGMA query_only = ON")
      connection = opened
    }
    guard let connection else { throw SQLiteError.closed }
    return try body(connection)
  }

  func close() { connection = nil }
}

extension SQLiteError {
  fileprivate static let closed = SQLiteError(code: 21, message: "the file is closed")
}
