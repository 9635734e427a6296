import Events
import Views

/// One generation's fold of one partition, and its id in the worker's file.
struct GenerationFold: Sendable {
  let id: GenerationID
  /// The generation's id in the worker's file.
  let viewID: Int64
  let box: FoldBox
  /// The reason why it stopped counting.
  var problem: String?

  var partition: PartitionID { box.fold.progress.partition }
  var next: Offset { box.fold.progress.nextOffset }
}
