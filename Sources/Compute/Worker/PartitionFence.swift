import Events

/// Says whether this process may still act for a partition: asked before a checkpoint commits and before a read answers.
///
/// Where partitions are leased, the answer turns to no a little before another process can get the lease; it must not wait for
/// anything.
public struct PartitionFence: Sendable {
  public var mayAct: @Sendable (PartitionID) -> Bool

  public init(mayAct: @escaping @Sendable (PartitionID) -> Bool) { self.mayAct = mayAct }

  /// One process owns all.
  public static let open = PartitionFence { _ in true }
}
