import Events
import Views

extension ComputeService {
  /// The longest sleep at once: a clock that is set meanwhile is noticed.
  private static let purgeSleepMax = Duration.seconds(3600)

  public nonisolated(nonsending) func remove(_ view: String, purgeAfter: Int64) async throws(ViewStoreError) -> ViewRemoval {
    let time = now()
    let (sum, overflow) = time.nanoseconds.addingReportingOverflow(purgeAfter)
    let purgeAt = Timestamp(nanoseconds: overflow ? .max : sum)
    return try await change { table throws(ViewStoreError) in
      let removed = try table.remove(view, purgeAt: purgeAt, at: time)
      table.purge(at: time)
      return ViewRemoval(
        view: view, generations: removed.records.filter(\.state.isKept).map(\.number), removedAt: removed.at,
        purgeAt: removed.purgeAt,
        isConfigured: table.configured[view] != nil)
    }
  }

  /// Purges removed views when their time has come, until the service is shut down.
  func schedulePurge() {
    let next = book.table.nextPurge
    purging.withLock { task in
      task?.cancel()
      task = nil
      guard let next, !steps.isStopped else { return }
      task = Task { [weak self] in
        while let self, !Task.isCancelled {
          let left = Duration.nanoseconds(max(0, next.nanoseconds - self.now().nanoseconds))
          if left <= .zero { return await self.purge() }
          // Cancelled: the loop ends.
          try? await Task.sleep(for: min(left, ComputeService.purgeSleepMax))
        }
      }
    }
  }

  private func purge() async {
    let time = now()
    do throws(ViewStoreError) {
      try await change { table throws(ViewStoreError) in table.purge(at: time) }
    } catch {
      guard !steps.isStopped else { return }
      logger.warning("removed views are not purged: \(error); it is tried again")
      // Cancelled: another task purges.
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      schedulePurge()
    }
  }
}
