import Events
import Views

extension RemoteViewStore {
  /// The parts into which `retention` is cut: the slowest partition advances by one before the instances are told again.
  private static let retentionParts: Int64 = 32

  /// Tells the instances the event-time watermark of the slowest partition of all, which they need for dropping parts of rows:
  /// none of them knows the others' partitions.
  func tellSlowest(of status: ViewStatus) async {
    let definition = status.definition
    guard let retention = definition.retention, !definition.hasSourceKey, status.partitions.count == peers.partitionCount else {
      return
    }
    let times = status.partitions.compactMap(\.eventTimeWatermark)
    guard times.count == peers.partitionCount, let slowest = times.min() else { return }
    let id = "\(definition.name)/\(status.generation)"
    let step = max(1, retention / RemoteViewStore.retentionParts)
    let isNew = told.withLock { told in
      guard let before = told[id], slowest.nanoseconds < WindowDefinition.end(of: before, size: step) else {
        told[id] = slowest.nanoseconds
        return true
      }
      return false
    }
    guard isNew else { return }
    let request = WireRequest(
      posting: [
        "view": .string(definition.name), "generation": .int(Int64(status.generation)),
        "event_time_watermark": .int(slowest.nanoseconds),
      ], to: "/v1/compute/slowest")
    do throws(ViewStoreError) { _ = try await peers.askAll(request, within: RemoteViewStore.slack) } catch {
      // They are told again when the slowest has advanced; until then rows only stay longer.
      peers.logger.debug("the instances were not told how far the slowest partition of \(id) is: \(error)")
    }
  }
}
