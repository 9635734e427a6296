import Dispatch
import Glibc
import SQLite

/// A device's memory that survives a crash: one SQLite file with the unanswered events, and the last sequence of each source.
///
/// Without it, unacknowledged messages of a `DeviceClient` are gone with the process, and so is the caller's count: events that
/// are sent again under new sequences count twice.
///
/// ```swift
/// let spool = try DeviceSpool(path: "device.spool")
/// var configuration = DeviceClientConfiguration(port: 4000)
/// configuration.spool = spool
/// var sequence = spool.nextSequence(of: "station/44") ?? 1
/// ```
/// `send` then returns once the message's events are in the file, synced; what an earlier run left there goes out first.
///
/// `@unchecked Sendable`: `init` uses `connection`, and from then on only `queue`, which is serial; all else is constant.
public final class DeviceSpool: @unchecked Sendable {
  private struct Position: Hashable {
    var source: [UInt8]
    var epoch: UInt64
  }

  /// Format 1 is the Python client's.
  private static let format: Int64 = 2

  public let path: String
  private let queue = DispatchQueue(label: "penstock.spool")
  private let connection: SQLiteConnection
  /// The messages that an earlier run left, in its order.
  let left: [DeviceMessage]
  private let nextSequences: [Position: UInt64]

  /// Opens or creates the file, readable by its owner alone. It blocks: not for an event loop.
  /// - Throws: `DeviceClientError` with the code `.spool`: in use by another client or process, no spool, or no room.
  public init(path: String) throws(DeviceClientError) {
    self.path = path
    do {
      connection = try SQLiteConnection(path: path, busyTimeout: .zero)
      chmod(path, 0o600)
      try connection.execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
      try connection.execute("BEGIN EXCLUSIVE")
      try connection.execute(
        """
        CREATE TABLE IF NOT EXISTS spool (format INTEGER);
        CREATE TABLE IF NOT EXISTS counter (source BLOB, epoch BLOB, next BLOB, PRIMARY KEY (source, epoch));
        CREATE TABLE IF NOT EXISTS event (row INTEGER PRIMARY KEY AUTOINCREMENT, line INTEGER, text BLOB)
        """)
      let known = try connection.first("SELECT format FROM spool") { $0.int64(0) }
      if known == nil { try connection.run("INSERT INTO spool VALUES (?1)", DeviceSpool.format) }
      guard (known ?? DeviceSpool.format) == DeviceSpool.format else {
        throw DeviceClientError(.spool, "the spool \(path) has format \(known ?? 0): this client reads \(DeviceSpool.format)")
      }
      left = try connection.rows("SELECT row, line, text FROM event ORDER BY row") { row in
        var message = DeviceMessage(row.bytes(2), line: row.int(1))
        message.restore(row: row.int64(0))
        return message
      }
      let counters = try connection.rows("SELECT source, epoch, next FROM counter") { row in
        (Position(source: Array(row.bytes(0)), epoch: DeviceSpool.number(row.bytes(1))), DeviceSpool.number(row.bytes(2)))
      }
      nextSequences = Dictionary(counters) { max($0, $1) }
      try connection.execute("COMMIT")
    } catch let error as DeviceClientError {
      throw error
    } catch {
      throw DeviceSpool.failure(path, error)
    }
  }

  /// The last sequence of a source when the spool was opened, plus one; nil for a source it does not know.
  public func nextSequence(of source: String, epoch: UInt64 = 0) -> UInt64? {
    nextSequences[Position(source: Array(source.utf8), epoch: epoch)]
  }

  /// Stores a message's events, and hands the message on; concurrent callers' messages go one after the other.
  /// - Parameter body: Called with the message once it is synced, before the next one is stored; not called if that failed.
  func keep(_ message: DeviceMessage, then body: @escaping @Sendable (DeviceMessage) -> Void) async throws(DeviceClientError) {
    let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<Void, DeviceClientError>, Never>) in
      queue.async { [self] in
        do {
          let kept = try insert(message)
          body(kept)
          continuation.resume(returning: .success(()))
        } catch {
          continuation.resume(returning: .failure(DeviceSpool.failure(path, error)))
        }
      }
    }
    try result.get()
  }

  /// Deletes events that are answered for.
  /// - Parameter failed: Called if that failed.
  func forget(_ rows: [Int64], failed: @escaping @Sendable (DeviceClientError) -> Void) {
    guard !rows.isEmpty else { return }
    queue.async { [self] in
      do {
        try connection.transaction {
          try connection.withStatement("DELETE FROM event WHERE row = ?1") { statement in
            for row in rows {
              try statement.bind(row, at: 1)
              try statement.runOnce()
            }
          }
        }
      } catch {
        failed(DeviceSpool.failure(path, error))
      }
    }
  }

  private func insert(_ message: DeviceMessage) throws -> DeviceMessage {
    var message = message
    var highest: [Position: UInt64] = [:]
    try connection.transaction {
      for index in message.marks.indices {
        let mark = message.marks[index]
        try connection.run("INSERT INTO event (line, text) VALUES (?1, ?2)", Int64(mark.line), Array(message.text(of: mark)))
        message.keep(index, row: connection.lastInsertedRowID)
        guard let sequence = mark.sequence, mark.sourceEnd > mark.sourceStart, sequence < .max else { continue }
        let position = Position(source: Array(message.source(of: mark)), epoch: mark.epoch)
        highest[position, default: 0] = max(highest[position, default: 0], sequence + 1)
      }
      for (position, next) in highest {
        try connection.run(
          "INSERT INTO counter VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET next = max(next, excluded.next)", position.source,
          DeviceSpool.bytes(position.epoch), DeviceSpool.bytes(next))
      }
    }
    return message
  }

  // Sequences are blobs, most significant byte first: SQLite's integers end at 2^63 − 1, and blobs compare alike.

  private static func bytes(_ number: UInt64) -> [UInt8] {
    (0..<8).reversed().map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  private static func number(_ bytes: UnsafeRawBufferPointer) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

  private static func failure(_ path: String, _ error: any Error) -> DeviceClientError {
    if let error = error as? SQLiteError, error.isBusy {
      return DeviceClientError(.spool, "the spool \(path) is in use: each client needs one of its own")
    }
    return DeviceClientError(.spool, "the spool \(path): \(error)")
  }
}
