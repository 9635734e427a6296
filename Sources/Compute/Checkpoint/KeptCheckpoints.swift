import Events
import Foundation
import Logging
import SQLite
import Views

/// Copies of a worker's file at earlier moments: a read at a past point begins at one, instead of at the log's start.
///
/// `DIR/compute/<worker>/kept/<milliseconds since 1970>/state.sqlite`, bounded in number and bytes: the oldest go
/// first. A copy is written under another name, synced, and renamed, so it is complete or absent.
actor KeptCheckpoints {
  struct Bounds: Sendable {
    /// The most copies; 0 keeps none.
    var countMax: Int
    var interval: Duration
    /// The most bytes of all copies of this worker.
    var bytesMax: Int
  }

  /// The state at which a past read may begin.
  struct Base: Sendable {
    var store: CheckpointStore
    var view: Int64
    var box: FoldBox
    /// Nil where the partition's own time closes windows.
    var sources: SourceBox?
  }

  private let path: String
  private let folder: String
  private let worker: Int
  private let bounds: Bounds
  /// `compute.clock_ahead_max`, in nanoseconds.
  private let aheadMax: Int64
  private let logger: Logger
  private let executor: WorkerExecutor
  private var lastTry: ContinuousClock.Instant?

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(of path: String, worker: Int, bounds: Bounds, aheadMax: Int64, logger: Logger) {
    self.path = path
    folder = (path as NSString).deletingLastPathComponent + "/kept"
    self.worker = worker
    self.bounds = bounds
    self.aheadMax = aheadMax
    self.logger = logger
    executor = WorkerExecutor(label: "penstock.kept.\(worker)")
  }

  /// Copies the file as it is now, if the interval has passed.
  func keepIfDue(_ now: Timestamp) {
    guard bounds.countMax > 0, lastTry.map({ ContinuousClock.now - $0 >= bounds.interval }) ?? true else { return }
    lastTry = .now
    let moment = now.nanoseconds / 1_000_000
    if let last = moments().last, moment >= last, Duration.milliseconds(moment - last) < bounds.interval { return }
    do {
      try keep(moment)
    } catch {
      logger.warning("worker \(worker) keeps no copy of its file: \(error); reads at a past point begin further back")
    }
  }

  private func keep(_ moment: Int64) throws {
    let files = FileManager.default
    let size = StateFile.byteCount(of: path)
    guard size <= bounds.bytesMax else { throw SQLiteError(code: 0, message: "it has \(size) bytes of \(bounds.bytesMax)") }
    let place = folder + "/\(moment)"
    let draft = place + ".draft"
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in try files.contentsOfDirectory(atPath: folder) where name.hasSuffix(".draft") {
      // A process died while it made this copy.
      try files.removeItem(atPath: folder + "/" + name)
    }
    try files.createDirectory(atPath: draft, withIntermediateDirectories: true)
    do {
      let file = draft + "/" + CheckpointFile.name
      // It sees the file as of one moment, and lets others write.
      try SQLiteConnection(path: path).run("VACUUM INTO ?", file)
      guard let handle = FileHandle(forUpdatingAtPath: file) else { throw SQLiteError(code: 0, message: "\(file) is gone") }
      try handle.synchronize()
      try handle.close()
      try files.moveItem(atPath: draft, toPath: place)
    } catch {
      try? files.removeItem(atPath: draft)
      throw error
    }
    try letGo()
  }

  private func letGo() throws {
    var count = 0
    var bytes = 0
    for moment in moments().reversed() {
      let place = folder + "/\(moment)"
      count += 1
      bytes += StateFile.byteCount(of: place + "/" + CheckpointFile.name)
      if count > bounds.countMax || bytes > bounds.bytesMax { try FileManager.default.removeItem(atPath: place) }
    }
  }

  private func moments() -> [Int64] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).compactMap { Int64($0) }.sorted()
  }

  /// The copied state of a partition that is furthest, but not beyond `end`; nil when no copy has one.
  func nearest(_ record: GenerationRecord, _ partition: PartitionID, upTo end: Offset) -> Base? {
    var best: (store: CheckpointStore, next: Int64)?
    for moment in moments() {
      do throws(ComputeError) {
        let store = try CheckpointStore(directory: folder + "/\(moment)", worker: worker, logger: logger)
        let next = try store.generations.nextOffset(of: record.id, partition)
        if let next, next <= end.rawValue, next > best?.next ?? 0 {
          best?.store.file.close()
          best = (store, next)
        } else {
          store.file.close()
        }
      } catch {
        logger.warning("the kept copy \(moment) is of no use: \(error)")
      }
    }
    guard let best else { return nil }
    do throws(ComputeError) {
      let view = try best.store.generations.viewID(of: record)
      if let stored = try best.store.load(record.definition, view: view, partition: partition) {
        var base = Base(store: best.store, view: view, box: stored.box)
        guard record.definition.watermark == .source else { return base }
        if let id = stored.sources {
          base.sources = try best.store.loadSources(id, aheadMax: aheadMax)
        }
        if base.sources?.clocks.nextOffset == stored.box.fold.progress.nextOffset { return base }
      }
    } catch {
      logger.warning("a kept copy is of no use: \(error)")
    }
    best.store.file.close()
    return nil
  }
}
