import Aggregates
import Events
import SQLite
import Synchronization

/// Merges the runs of a worker's file, beside the worker, in bounded steps: few runs are then read for a row, and a row is
/// stored a few times at most.
///
/// A step reads as of one moment, merges on this actor's thread, and writes in one transaction, which is all that a checkpoint
/// may have to wait for. No result depends on which steps have been made. A step that a crash takes back is made again.
actor RunCompactor {
  /// An owner with more runs than this makes the worker wait: the runs come faster than they are merged.
  static let runsMax = 64

  private let file: CheckpointFile
  private let layouts: StateLayouts
  private let executor: WorkerExecutor
  private var running: Task<Void, Never>?
  private var isAsked = false
  private var isStopped = false
  private var waiting: [CheckedContinuation<Void, Never>] = []
  /// The most runs of an owner, when it was last looked.
  private nonisolated let runsCount = Atomic<Int>(0)

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(_ file: CheckpointFile, _ layouts: StateLayouts) {
    self.file = file
    self.layouts = layouts
    executor = WorkerExecutor(label: "penstock.compact.\(file.worker)", niceness: 5)
  }

  /// Runs have been added.
  nonisolated func wake() { Task { await self.begin() } }

  nonisolated var isBehind: Bool { runsCount.load(ordering: .relaxed) > RunCompactor.runsMax }

  /// Returns when no owner has too many runs, or none can be merged.
  nonisolated func waitUntilCaughtUp() async { if isBehind { await wait() } }

  private func wait() async {
    guard isBehind, running != nil else { return }
    await withCheckedContinuation { waiting.append($0) }
  }

  func stop() async {
    isStopped = true
    await running?.value
  }

  private func begin() {
    isAsked = true
    guard running == nil, !isStopped else { return }
    running = Task { await self.run() }
  }

  private func run() async {
    while isAsked, !isStopped {
      isAsked = false
      do throws(ComputeError) { try await mergeAll() } catch {
        // The runs stay as they are, and are read nonetheless.
        file.logger.error("merging runs: \(error); it is tried again after the next checkpoint")
      }
    }
    running = nil
    wakeWaiting()
  }

  private func wakeWaiting() {
    for waiter in waiting { waiter.resume() }
    waiting = []
  }

  private func mergeAll() async throws(ComputeError) {
    while !isStopped {
      let known = layouts.known
      let plan = try await file.read { db, _ in try RunCompactor.plan(db, known) }
      runsCount.store(plan.runsCount, ordering: .relaxed)
      if !isBehind { wakeWaiting() }
      guard let next = plan.next else { return }
      guard try await merge(next) else { return }
    }
  }

  private struct Plan: Sendable {
    var runsCount = 0
    var next: Merge?
  }

  /// Runs of an owner that are merged.
  private struct Merge: Sendable {
    var owner: RunOwner
    var runs: [StoredRun]
    /// Nil for sources.
    var layout: StateLayout?

    var stride: Int { layout?.stride ?? SourceRuns.stride }
  }

  private static func plan(_ db: SQLiteConnection, _ layouts: [Int64: StateLayout]) throws -> Plan {
    var plan = Plan()
    for owner in try StoredRuns.owners(db, withMoreRunsThan: CompactionPlan.fanIn - 1) {
      var layout: StateLayout?
      if case .rows(let view, _) = owner {
        layout = layouts[view]
        guard layout != nil else { continue }
      }
      let runs = try StoredRuns.list(db, owner)
      plan.runsCount = max(plan.runsCount, runs.count)
      if plan.next == nil, let chosen = CompactionPlan.choose(runs.map(\.bytes)) {
        plan.next = Merge(owner: owner, runs: Array(runs[chosen]), layout: layout)
      }
    }
    return plan
  }

  /// Merges runs, step by step.
  /// - Returns: Whether all was merged; not when the runs became others meanwhile.
  private func merge(_ merge: Merge) async throws(ComputeError) -> Bool {
    var output: Int64?
    var filter = RunFilter(rows: merge.runs.reduce(0) { $0 + $1.rows })
    while !isStopped {
      var step = try await file.read { db, _ in try CompactionStep(db, merge.runs, stride: merge.stride) }
      try file.typed { try step.merge(merge.layout, filter: &filter) }
      let done = step
      guard let run = try file.writeLazily({ [output] db in try done.apply(db, merge.owner, to: output, filter) }) else {
        return false
      }
      output = run
      if step.isLast { return true }
    }
    return false
  }
}

/// The layouts of the views' states, by the views' ids in a worker's file: those of views in use.
final class StateLayouts: Sendable {
  private let byView = Mutex<[Int64: StateLayout]>([:])

  var known: [Int64: StateLayout] { byView.withLock { $0 } }

  func note(_ layout: StateLayout, ofView view: Int64) { byView.withLock { $0[view] = layout } }
}
