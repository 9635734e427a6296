import Events
import Views

/// One generation's fold of one partition, and its place in the worker's file.
struct GenerationFold: Sendable {
  let id: GenerationID
  /// In the worker's file.
  let viewID: Int64
  let box: FoldBox
  /// Why it counts no further.
  var problem: String?

  var partition: PartitionID { box.fold.progress.partition }
  var next: Offset { box.fold.progress.nextOffset }
}
