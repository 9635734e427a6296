import Events
import Views

/// Which generation of which view.
struct GenerationID: Sendable, Hashable, CustomStringConvertible {
  var view: String
  var number: Int
  var description: String { "\(view) generation \(number)" }
}

/// What is kept of a generation besides its rows.
struct GenerationRecord: Sendable, Hashable {
  var definition: ViewDefinition
  var number: Int
  var state: GenerationState
  /// Whether it takes over by itself when it has caught up.
  var promotes: Bool
  /// Where it begins; the log's start for a partition that is not named.
  var from: OffsetVector
  /// Where a bounded replay ends: an offset for every partition.
  var to: OffsetVector?
  /// Which events between `from` and `to` it counts.
  var times = EventTimeBounds.all
  var createdAt: Timestamp
  /// While it builds: the partitions whose owners say that it has caught up there.
  var settled: Set<PartitionID> = []

  var id: GenerationID { GenerationID(view: definition.name, number: number) }

  /// As it is over another log: without offsets, and ended unless it is live.
  func begunAnew() -> GenerationRecord {
    guard state.isKept else { return self }
    var record = self
    (record.from, record.to, record.settled) = (OffsetVector(), nil, [])
    if state != .live { record.state = state == .building ? .cancelled : .dropped }
    return record
  }

  /// Whether it counts all there is, as the first generation of its definition would.
  var isWhole: Bool { from.offsets.isEmpty && to == nil && times.isAll }
}

/// What was asked of a view last, by the file of views or by `apply`.
struct ViewDeclaration: Sendable, Hashable {
  /// The definition's.
  var hash: String
  /// The generation that waits to be promoted since, because it was to be held.
  var waiting: Int?
}

/// A view that was ended by hand, until it is purged: its generations count no further, and keep their rows.
struct RemovedView: Sendable, Hashable {
  var at: Timestamp
  var purgeAt: Timestamp
  var records: [GenerationRecord]
}
