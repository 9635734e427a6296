/// One version of a row of a run: what a checkpoint knew of the row's slot and key. Valid for as long as the call that gives it.
///
/// A row may occur in several runs. Merging a newer version with an older one adds up their events; if the newer is whole, its
/// state stays, otherwise the states are merged, and the result is whole if the older is.
struct RunRow {
  /// Nanoseconds: a window's start, or a hop's slot.
  var slot: Int64
  /// The key in `KeyCodec`'s form.
  var key: UnsafeRawBufferPointer
  /// Whether the version takes the place of all older ones; else it is a partial that adds to them.
  var isWhole: Bool
  /// The events that this version adds to the row, also where it is whole: their sum over all versions is the number of events
  /// counted, whatever was merged.
  var events: Int64
  /// The state in the layout's canonical form: `stride` words, then the tails.
  var state: UnsafeBufferPointer<UInt64>
}

/// A run's blocks, in ascending order of their rows.
protocol RunBlocks: Sendable {
  /// The means to read a block: a connection, say.
  associatedtype Reader

  /// The next block; nil after the last.
  mutating func next(_ reader: Reader) throws -> RunBlock?
}

/// The reason why bytes are not a run's block.
enum RunBlockDamage: Error, Hashable, CustomStringConvertible {
  case truncated, checksum, format(UInt8), stride(Int), bounds, order, state

  var description: String {
    switch self {
    case .truncated: "a block of rows is too short"
    case .checksum: "a block of rows does not match its checksum"
    case .format(let format): "a block of rows has format \(format), this program reads \(RunBlock.format)"
    case .stride(let stride): "a block of rows has states of \(stride) words, which is another definition's"
    case .bounds: "a block of rows has numbers out of bounds"
    case .order: "the rows of a run are not in ascending order"
    case .state: "a block of rows has a state that is not the definition's"
    }
  }
}
