import Aggregates
import Views

/// A run whose blocks are in memory, as a store has them in its file: what encoding, decoding and merging cost is measured with
/// it.
package struct EncodedRun: Sendable {
  private let blocks: [EncodedBlock]
  private let layout: StateLayout

  /// Encodes rows as whole versions.
  /// - Parameters:
  ///   - rows: In the order of their window starts and keys, each once.
  ///   - events: The events that each version adds.
  ///   - layout: The layout of the states.
  package init(_ rows: PartialRows, events: Int64, layout: StateLayout) {
    var builder = RunBlockBuilder(stride: layout.stride)
    var blocks: [EncodedBlock] = []
    for row in 0..<rows.count {
      if builder.isFull, let block = builder.take() { blocks.append(block) }
      rows.withKey(row) { key in
        rows.withState(row) { state in
          builder.append(RunRow(slot: rows.windowStarts[row], key: key, isWhole: true, events: events, state: state))
        }
      }
    }
    if let block = builder.take() { blocks.append(block) }
    self.blocks = blocks
    self.layout = layout
  }

  package var byteCount: Int { blocks.reduce(0) { $0 + $1.bytes.count } }

  /// Decodes all blocks.
  /// - Parameter checksStates: Whether each state is held to the layout, too.
  /// - Returns: The number of rows.
  package func decode(checksStates: Bool) throws -> Int {
    var cursor = Cursor(run: self, checksStates: checksStates)
    var rows = 0
    while let block = try cursor.next(()) { rows += block.rows.count }
    return rows
  }

  /// Gives each row of the runs once, in order, its versions merged.
  /// - Parameter runs: The newest first, of one layout.
  package static func merge(
    _ runs: [EncodedRun],
    _ body: (_ slot: Int64, _ key: UnsafeRawBufferPointer, _ events: Int64, _ state: UnsafeBufferPointer<UInt64>) -> Void
  ) throws {
    var merge = RunMerge(runs.map { Cursor(run: $0, checksStates: false) }, layout: runs.first?.layout)
    while try merge.next((), { body($0.slot, $0.key, $0.events, $0.state) }) {}
  }

  private struct Cursor: RunBlocks {
    let run: EncodedRun
    let checksStates: Bool
    var position = 0

    mutating func next(_ reader: Void) throws -> RunBlock? {
      guard position < run.blocks.count else { return nil }
      position += 1
      return try run.blocks[position - 1].bytes.withUnsafeBytes {
        try RunBlock($0, stride: run.layout.stride, layout: checksStates ? run.layout : nil)
      }
    }
  }
}
