import Compute
import Events
import Synchronization

/// A record of views that does not answer for as long as it is told so.
final class AwayRecord: ViewsRecord {
  private let record = VolatileViewsRecord()
  private let isAway = Mutex(false)

  func set(away: Bool) { isAway.withLock { $0 = away } }

  private func check() throws(LogError) { if isAway.withLock({ $0 }) { throw LogError(.unavailable, "away") } }

  nonisolated(nonsending) func entries(from number: Int, bytesMax: Int) async throws(LogError) -> [[UInt8]] {
    try check()
    return try await record.entries(from: number, bytesMax: bytesMax)
  }

  nonisolated(nonsending) func append(_ entry: [UInt8], as number: Int) async throws(LogError) -> Bool {
    try check()
    return try await record.append(entry, as: number)
  }

  nonisolated(nonsending) func waitForEntry(past count: Int) async throws(LogError) {
    try check()
    try await record.waitForEntry(past: count)
  }
}
