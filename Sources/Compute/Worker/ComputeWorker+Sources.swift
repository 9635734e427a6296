import Events
import Views

/// Clocks of one partition that have been loaded from the worker's file, by their id there: folds that were as far share them.
struct LoadedSources {
  let partition: PartitionID
  private var boxes: [SourceBox]

  /// - Parameter boxes: The clocks that are here already.
  init(_ partition: PartitionID, _ boxes: [SourceBox] = []) {
    self.partition = partition
    self.boxes = boxes
  }

  subscript(id: Int64) -> SourceBox? { boxes.first { $0.id == id } }

  mutating func add(_ box: SourceBox) { boxes.append(box) }
}

/// Where the clocks of sources come from when a partition or a generation begins here.
extension ComputeWorker {
  nonisolated var clockAheadMax: Int64 { configuration.clockAheadMax.nanosecondsHeld }

  nonisolated var sourceIdle: Int64 { configuration.sourceIdle.nanosecondsHeld }

  nonisolated func beginSources(_ partition: PartitionID, at start: Offset, _ times: EventTimeBounds = .all) -> SourceBox {
    SourceBox(SourceClocks(partition: partition, firstOffset: start, aheadMax: clockAheadMax, bounds: times))
  }

  /// The clocks with which a fold goes on: those stored with it; else they begin where the fold began, and are brought to where
  /// it is.
  /// - Parameter id: The id of the clocks stored with the fold; nil where there are none.
  func sources(
    of fold: GenerationFold, id: Int64?, _ times: EventTimeBounds, _ loaded: inout LoadedSources
  ) throws(ComputeError) -> SourceBox {
    if let id {
      if let known = loaded[id], known.clocks.nextOffset == fold.next { return known }
      if let stored = try loadSources(id), stored.clocks.nextOffset <= fold.next, stored.clocks.bounds == times {
        loaded.add(stored)
        return stored
      }
    }
    return beginSources(fold.partition, at: fold.box.fold.progress.firstOffset, times)
  }

  /// The fold with clocks that no other fold has, since it goes on at a pace of its own.
  func apart(_ fold: GenerationFold, _ loaded: inout LoadedSources) throws(ComputeError) -> GenerationFold {
    guard let own = fold.sources, let id = own.id else { return fold }
    var fold = fold
    if let copy = try store.copySources(id) { fold.sources = try loadSources(copy) ?? fold.sources }
    return fold
  }

  /// The clocks of a partition beside its folds: the folds' own that reach furthest back, or stored ones that are as far; else
  /// they begin where the folds are.
  func ownSources(
    _ partition: PartitionID, _ folds: [GenerationFold], _ loaded: inout LoadedSources, logStart: Offset
  ) throws(ComputeError) -> SourceBox {
    let shared = folds.compactMap(\.sources).filter(\.clocks.bounds.isAll).min { $0.clocks.firstOffset < $1.clocks.firstOffset }
    if let shared { return shared }
    let next = folds.lazy.filter { $0.problem == nil }.map(\.next).min() ?? logStart
    if let id = try store.sources(of: partition, atLeast: next), let stored = try loadSources(id) { return stored }
    return beginSources(partition, at: next)
  }

  private func loadSources(_ id: Int64) throws(ComputeError) -> SourceBox? {
    try store.loadSources(id, aheadMax: clockAheadMax, bytesMax: loadedSourceBytesMax)
  }
}
