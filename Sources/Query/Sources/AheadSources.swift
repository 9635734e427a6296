import Events
import Synchronization
import Views

/// The sources whose clocks are ahead, for the overview. Each overview stream shows them every second, and finding them may
/// take a look at all sources: so they are asked for from time to time, and at most a twentieth of the time goes into it.
final class AheadSources: Sendable {
  static let countMax = 32
  private static let pause = Duration.seconds(5)

  private struct Kept {
    var sources: [SourceStatus] = []
    /// When to ask again; nil before the first answer. Whoever comes while someone asks gets what is known.
    var next: ContinuousClock.Instant?
    var isAsked = false
  }

  private let store: any SourceStore
  private let kept = Mutex(Kept())

  init(_ store: any SourceStore) { self.store = store }

  /// At most `countMax` of them, those furthest ahead first; some seconds old.
  func list() async throws(ViewStoreError) -> [SourceStatus] {
    let known = kept.withLock { kept -> [SourceStatus]? in
      guard !kept.isAsked, kept.next.map({ .now >= $0 }) ?? true else { return kept.sources }
      kept.isAsked = true
      return nil
    }
    if let known { return known }
    let start = ContinuousClock.now
    do throws(ViewStoreError) {
      let sources = try await store.sources(
        SourceReadRequest(
          isAheadOnly: true, order: SourceOrder(.largestEventTime, isDescending: true), limit: AheadSources.countMax,
          allowsPartial: true)
      ).sources
      let end = ContinuousClock.now
      let next = end + max(AheadSources.pause, (end - start) * 20)
      kept.withLock { $0 = Kept(sources: sources, next: next) }
      return sources
    } catch {
      kept.withLock { $0.isAsked = false }
      throw error
    }
  }
}
