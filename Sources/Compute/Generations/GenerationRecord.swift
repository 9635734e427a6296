import Events
import Views

struct GenerationID: Sendable, Hashable, CustomStringConvertible {
  var view: String
  var number: Int
  var description: String { "\(view) generation \(number)" }
}

/// The facts of a generation besides its rows.
struct GenerationRecord: Sendable, Hashable {
  var definition: ViewDefinition
  var number: Int
  var state: GenerationState
  /// Whether it takes over by itself once it has caught up.
  var promotes: Bool
  /// The offsets at which it begins; a partition that is not named begins at the log's start.
  var from: OffsetVector
  /// The end of a bounded replay: an offset for every partition.
  var to: OffsetVector?
  /// The event times, between `from` and `to`, that it counts.
  var times = EventTimeBounds.all
  var createdAt: Timestamp
  /// The partitions whose owners say that it has caught up there; used while it builds.
  var settled: Set<PartitionID> = []

  var id: GenerationID { GenerationID(view: definition.name, number: number) }

  /// The generation over another log: without offsets, and ended unless it is live.
  func begunAnew() -> GenerationRecord {
    guard state.isKept else { return self }
    var record = self
    (record.from, record.to, record.settled) = (OffsetVector(), nil, [])
    if state != .live { record.state = state == .building ? .cancelled : .dropped }
    return record
  }

  /// Whether it counts the whole log, as the first generation of its definition does.
  var isWhole: Bool { from.offsets.isEmpty && to == nil && times.isAll }
}

/// The definition last asked for, by the file of views or by `apply`.
struct ViewDeclaration: Sendable, Hashable {
  var hash: String
  /// The generation that has waited to be promoted since, because it was to be held.
  var waiting: Int?
}

/// A view that was ended by hand, until it is purged: its generations count no further, and keep their rows.
struct RemovedView: Sendable, Hashable {
  var at: Timestamp
  var purgeAt: Timestamp
  var records: [GenerationRecord]
}
