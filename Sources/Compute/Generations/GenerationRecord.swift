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
  var createdAt: Timestamp
  /// While it builds: the partitions whose owners say that it has caught up there.
  var settled: Set<PartitionID> = []

  var id: GenerationID { GenerationID(view: definition.name, number: number) }
}
