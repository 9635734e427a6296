import Events
import Synchronization
import Views

/// The sources whose clocks are ahead, for the overview: asked for from time to time, since each overview stream shows them every
/// second.
final class AheadSources: Sendable {
  static let countMax = 32
  private static let age = Duration.seconds(5)

  private struct Kept {
    var sources: [SourceStatus] = []
    var askedAt: ContinuousClock.Instant?
  }

  private let store: any SourceStore
  private let kept = Mutex(Kept())

  init(_ store: any SourceStore) { self.store = store }

  /// At most `countMax` of them, those furthest ahead first; some seconds old.
  func list() async throws(ViewStoreError) -> [SourceStatus] {
    let known = kept.withLock { kept -> [SourceStatus]? in
      if let askedAt = kept.askedAt, .now - askedAt < AheadSources.age { return kept.sources }
      // Whoever comes meanwhile gets what is known.
      kept.askedAt = .now
      return nil
    }
    if let known { return known }
    do throws(ViewStoreError) {
      let sources = try await store.sources(
        SourceReadRequest(
          isAheadOnly: true, order: SourceOrder(.largestEventTime, isDescending: true), limit: AheadSources.countMax,
          allowsPartial: true)
      ).sources
      kept.withLock { $0.sources = sources }
      return sources
    } catch {
      kept.withLock { $0.askedAt = nil }
      throw error
    }
  }
}
