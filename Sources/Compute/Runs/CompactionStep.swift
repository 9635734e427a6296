import Aggregates
import SQLite
import Views

/// A bounded part of a merge of runs: the first blocks of each, up to a place up to which all of them are there. The rows beyond
/// the place stay in their run, so the runs hold the same rows before and after.
struct CompactionStep: Sendable {
  /// The bytes of blocks that a step reads, give or take a block of each run.
  static let bytesMax = 1 << 20

  private struct Input {
    var run: StoredRun
    var blocks: [StoredBlock] = []
    var hasMore = true

    var last: RowPlace? { blocks.last.map { $0.block.place($0.block.rows.upperBound - 1) } }
  }

  private var inputs: [Input]
  private let stride: Int
  /// The last place that is merged; nil where all is.
  private var through: RowPlace?
  private var merged: [EncodedBlock] = []
  /// The parts that stay of blocks that reach beyond the place, by input.
  private var rests: [(input: Int, block: EncodedBlock)] = []

  /// Whether the runs are merged whole with this.
  var isLast: Bool { through == nil }

  // MARK: reading

  /// Reads the first blocks of runs.
  /// - Parameter runs: Neighbours, the newest first.
  init(_ db: SQLiteConnection, _ runs: [StoredRun], stride: Int, bytesMax: Int = CompactionStep.bytesMax) throws {
    self.stride = stride
    inputs = runs.map { Input(run: $0) }
    var bytes = 0
    while let next = nextToRead(), bytes < bytesMax || inputs[next].blocks.isEmpty {
      let last = inputs[next].last
      guard
        let loaded = try StoredBlocks.find(
          db, run: inputs[next].run.id, stride: stride, last ?? RowPlace(slot: .min, key: []), isAfter: last != nil)
      else {
        inputs[next].hasMore = false
        continue
      }
      bytes += loaded.byteCount
      inputs[next].blocks.append(loaded)
    }
    for input in inputs where input.hasMore {
      if let last = input.last, through.map({ last.isBefore($0) }) ?? true { through = last }
    }
  }

  /// The run that has been read least far; nil when all have been read.
  private func nextToRead() -> Int? {
    inputs.indices.filter { inputs[$0].hasMore }.min { a, b in
      guard let first = inputs[a].last else { return inputs[b].last != nil }
      return inputs[b].last.map { first.isBefore($0) } ?? false
    }
  }

  // MARK: merging

  /// Merges what has been read.
  /// - Parameters:
  ///   - layout: The states' layout; nil where a version takes the place of older ones.
  ///   - filter: Gets the keys of the merged rows.
  mutating func merge(_ layout: StateLayout?, filter: inout RunFilter?) throws {
    var builder = RunBlockBuilder(stride: stride)
    var sources: [LoadedBlocks] = []
    for index in inputs.indices {
      var blocks: [RunBlock] = []
      for loaded in inputs[index].blocks {
        var block = loaded.block
        if let through {
          let end = block.position(after: through)
          for rest in builder.blocks(of: block, end..<block.rows.upperBound) { rests.append((index, rest)) }
          block.rows = block.rows.lowerBound..<end
        }
        if !block.rows.isEmpty { blocks.append(block) }
      }
      sources.append(LoadedBlocks(blocks))
    }
    var merge = RunMerge(sources, layout: layout)
    while try merge.next((), { row in
      builder.append(row)
      filter?.add(RunFilter.hash(row.key))
    }) {
      if builder.isFull, let block = builder.take() { merged.append(block) }
    }
    if let block = builder.take() { merged.append(block) }
    let before = inputs.reduce(0) { $0 + $1.blocks.reduce(0) { $0 + $1.events } }
    let after = merged.reduce(rests.reduce(0) { $0 + $1.block.events }) { $0 + $1.events }
    guard before == after else {
      throw SQLiteError.corrupt("blocks of the runs \(inputs.map(\.run.id)) count \(before) events, their rows \(after)")
    }
  }

  // MARK: writing

  /// Replaces what has been read by what it was merged into, within a transaction.
  /// - Parameters:
  ///   - output: The run that takes the merged rows; nil for a new one, in the place of the newest of those that were read.
  ///   - filter: The keys of all rows that the run takes; stored with the last step.
  /// - Returns: The run that took them; nil, with nothing changed, when the blocks are others by now.
  func apply(_ db: SQLiteConnection, _ owner: RunOwner, to output: Int64?, _ filter: RunFilter?) throws -> Int64? {
    for input in inputs {
      for block in input.blocks
      where try db.first("SELECT 1 FROM block WHERE id = ? AND run = ?", block.id, input.run.id, body: { $0.int(0) }) == nil {
        return nil
      }
    }
    let run = try output ?? StoredRuns.add(db, owner, age: inputs.first?.run.age)
    for input in inputs {
      for block in input.blocks {
        try StoredRuns.delete(db, block: block.id, run: input.run.id, bytes: block.byteCount, rows: block.block.rows.count)
      }
    }
    for (input, block) in rests { try StoredRuns.insert(db, block, run: inputs[input].run.id) }
    for block in merged { try StoredRuns.insert(db, block, run: run) }
    for input in inputs { try StoredRuns.removeIfEmpty(db, run: input.run.id) }
    if isLast, let filter { try StoredRuns.setFilter(db, filter, run: run) }
    return run
  }
}

/// Blocks that have been read.
private struct LoadedBlocks: RunBlocks {
  private var blocks: ArraySlice<RunBlock>

  init(_ blocks: [RunBlock]) { self.blocks = blocks[...] }

  mutating func next(_ reader: Void) -> RunBlock? { blocks.popFirst() }
}
