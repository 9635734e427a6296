import Events
import Logging

/// `DIR/log/penstock.views`: the record of views, an append-only file. Each entry is synced before its writer is told.
///
/// An actor on a queue of its own: its writes and syncs block nobody else. After a failed sync it takes no more entries until it
/// is opened again.
public actor ViewsRecordFile: ViewsRecord {
  /// The most bytes of the file: hundreds of thousands of changes.
  public static let fileBytesMax = 256 << 20

  private let path: String
  private let directory: String
  private let fileSystem: any FileSystem
  private let executor: WriterExecutor
  private let logger: Logger
  /// Nil while there is no entry.
  private var file: (any File)?
  private var positions: [Int]
  private var end: Int
  private var failure: LogError?
  private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
  private var nextWaiter: UInt64 = 0
  private var isClosed = false

  public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  /// Opens the record of a log's folder. A torn tail is cut and reported; where there is no file, the first entry creates it.
  /// - Precondition: The caller has the log open: its lock is this file's too.
  /// - Throws: `.corrupt` for damage that is no torn tail, `.incompatible` for a later version, `.io`.
  public init(
    directory: String, fileSystem: any FileSystem = PosixFileSystem(), logger: Logger = Logger(label: "penstock.log")
  ) throws(LogError) {
    try self.init(directory: directory, fileSystem: fileSystem, scheduler: DispatchScheduler(), logger: logger)
  }

  /// Opens the record as the public initialiser does, with its work run by `scheduler`.
  init(
    directory: String, fileSystem: any FileSystem, scheduler: any LogScheduler, logger: Logger
  ) throws(LogError) {
    let root = LogPaths(root: directory + "/log").root
    let path = "\(root)/\(ViewsRecordFormat.name)"
    self.directory = root
    self.path = path
    self.fileSystem = fileSystem
    self.logger = logger
    executor = WriterExecutor(scheduler.makeQueue(label: "penstock.views"))
    guard let file = try ViewsRecordFile.open(path, .readWrite, fileSystem) else {
      (positions, end) = ([], 0)
      return
    }
    let scan = try ViewsRecordScan(file, path: path)
    if scan.tornBytes > 0 {
      logger.warning(
        "\(path): \(scan.tornBytes) bytes behind entry \(scan.positions.count) are of a change that was not finished; they are cut off"
      )
      try placing(nil) { () throws(IOFailure) in
        try file.truncate(to: scan.end)
        try file.syncData()
      }
    }
    // The last entry may be in the kernel's cache only, even counted as clean by a sync that failed before: it is written once
    // more, and synced, before it is shown. The entries before it were synced, else it would not have been begun.
    try placing(nil) { () throws(IOFailure) in
      let last = scan.positions.count > 1 ? scan.positions[scan.positions.count - 1] : 0
      try file.writeAll(try file.readFull(scan.end - last, at: last), at: last)
      try file.syncData()
      try fileSystem.syncDirectory(root)
    }
    self.file = scan.end > 0 ? file : nil
    (positions, end) = (scan.positions, scan.end)
  }

  private static func open(
    _ path: String, _ mode: OpenMode, _ fileSystem: any FileSystem
  ) throws(LogError) -> (any File)? {
    do throws(IOFailure) {
      return try fileSystem.open(path, mode)
    } catch {
      guard error.errno == missingErrno else { throw LogError(error) }
      return nil
    }
  }

  /// Checks a record that nobody opens for writing, and counts its entries.
  /// - Returns: Nil where there is no record.
  public static func check(
    directory: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(LogError) -> (entries: Int, tornBytes: Int)? {
    let path = "\(LogPaths(root: directory + "/log").root)/\(ViewsRecordFormat.name)"
    guard let file = try open(path, .read, fileSystem) else { return nil }
    let scan = try ViewsRecordScan(file, path: path)
    return (scan.positions.count, scan.tornBytes)
  }

  /// Wakes all waiting readers. Entries can still be read.
  public func close() {
    isClosed = true
    wakeAll()
  }

  // MARK: ViewsRecord

  nonisolated(nonsending) public func entries(from number: Int, bytesMax: Int) async throws(LogError) -> [[UInt8]] {
    try await read(from: number, bytesMax: bytesMax)
  }

  nonisolated(nonsending) public func append(_ entry: [UInt8], as number: Int) async throws(LogError) -> Bool {
    try await write(entry, as: number)
  }

  nonisolated(nonsending) public func waitForEntry(past count: Int) async throws(LogError) {
    while !Task.isCancelled, await count >= positions.count {
      guard await !isClosed else { throw LogError(.unavailable, "the log is shut down") }
      await wait(past: count)
    }
  }

  private func read(from number: Int, bytesMax: Int) throws(LogError) -> [[UInt8]] {
    guard (0...positions.count).contains(number) else {
      throw LogError(.outOfRange, "the record of views has \(positions.count) entries, and none of number \(number)")
    }
    var entries: [[UInt8]] = []
    var bytes = 0
    for index in number..<positions.count {
      guard let entry = try entry(index) else {
        throw LogError(.corrupt, place: filePlace(position: positions[index]), "\(path): an entry is damaged")
      }
      bytes += entry.count
      if !entries.isEmpty, bytes > bytesMax { break }
      entries.append(entry)
    }
    return entries
  }

  /// The entry's payload; nil when the bytes differ from those written.
  private func entry(_ number: Int) throws(LogError) -> [UInt8]? {
    guard let file else { return nil }
    let position = positions[number]
    let length = (number + 1 < positions.count ? positions[number + 1] : end) - position
    let bytes = try placing(nil) { () throws(IOFailure) in try file.readFull(length, at: position) }
    guard let header = ViewsRecordFormat.entryHeader(bytes[...].prefix(ViewsRecordFormat.entryHeaderBytes)),
      header.number == Int64(number), ViewsRecordFormat.length(of: header.payloadBytes) == bytes.count
    else { return nil }
    let payload = Array(bytes[ViewsRecordFormat.entryHeaderBytes...].prefix(header.payloadBytes))
    return payload.withUnsafeBytes { checksum($0) } == header.checksum ? payload : nil
  }

  private func write(_ entry: [UInt8], as number: Int) throws(LogError) -> Bool {
    if let failure { throw failure }
    guard number == positions.count else {
      guard positions.indices.contains(number) else { return false }
      return try self.entry(number) == entry
    }
    var bytes = ViewsRecordFormat.encode(entry, number: number)
    if file == nil { bytes = ViewsRecordFormat.header() + bytes }
    guard end + bytes.count <= ViewsRecordFile.fileBytesMax else {
      throw LogError(
        .io, place: filePlace(errno: tooBigErrno),
        "\(path) would have more than \(ViewsRecordFile.fileBytesMax) bytes: no more changes are taken")
    }
    do throws(WriteFailure) {
      try put(bytes)
    } catch {
      throw told(error)
    }
    positions.append(end + bytes.count - ViewsRecordFormat.length(of: entry.count))
    end += bytes.count
    wakeAll()
    return true
  }

  private enum WriteFailure: Error {
    /// The disk has no room; nothing of the entry is left.
    case full(IOFailure)
    /// The state of the file on disk is not known.
    case fatal(IOFailure)
  }

  /// Writes and syncs, and creates the file where there is none.
  private func put(_ bytes: [UInt8]) throws(WriteFailure) {
    let isNew = self.file == nil
    let file: any File
    do throws(IOFailure) {
      if let known = self.file { file = known } else { file = try fileSystem.open(path, .create) }
    } catch {
      throw error.isFull ? .full(error) : .fatal(error)
    }
    do throws(IOFailure) {
      try file.writeAll(bytes, at: end)
    } catch {
      guard error.isFull else { throw .fatal(error) }
      // Nobody was told of the bytes written. Once they are certainly cut off, another entry may be tried.
      do throws(IOFailure) {
        try file.truncate(to: end)
        try file.syncData()
      } catch {
        throw .fatal(error)
      }
      throw .full(error)
    }
    do throws(IOFailure) {
      try file.syncData()
      if isNew { try fileSystem.syncDirectory(directory) }
    } catch {
      throw .fatal(error)
    }
    self.file = file
  }

  private func told(_ error: WriteFailure) -> LogError {
    switch error {
    case .full(let failure): return LogError(.diskFull, place: filePlace(errno: failure.errno), failure.description)
    case .fatal(let failure):
      let poisoned = LogError(
        .poisoned, place: filePlace(errno: failure.errno),
        "\(failure): no more changes of views are taken until the log is opened anew")
      self.failure = poisoned
      logger.error("\(poisoned)")
      return poisoned
    }
  }

  // MARK: waiting

  private func wait(past count: Int) async {
    nextWaiter += 1
    let id = nextWaiter
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        // A change before the wait began woke nobody.
        guard count >= positions.count, !isClosed, !Task.isCancelled else { return continuation.resume() }
        waiters[id] = continuation
      }
    } onCancel: {
      Task { await self.wake(id) }
    }
  }

  private func wake(_ id: UInt64) { waiters.removeValue(forKey: id)?.resume() }

  private func wakeAll() {
    for waiter in waiters.values { waiter.resume() }
    waiters = [:]
  }
}
