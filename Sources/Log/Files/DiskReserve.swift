import CoreMetrics
import Events
import Synchronization

/// The room on the log's disk that appends leave free. All partitions share it; their writers ask before they write.
///
/// The disk is asked once a second and after each 16 MiB, not for every group. Bytes claimed since then count as used.
final class DiskReserve: Sendable {
  private struct State {
    var freeBytes = 0
    /// Bytes claimed since the disk was asked.
    var claimedBytes = 0
    var askedAt: ContinuousClock.Instant?
  }

  static let claimedBytesMax = 16 << 20
  static let askInterval = Duration.seconds(1)

  let bytes: Int
  private let directory: String
  private let fileSystem: any FileSystem
  private let metrics: LogMetrics
  private let state = Mutex(State())

  init(directory: String, bytes: Int, fileSystem: any FileSystem, metrics: LogMetrics) {
    self.directory = directory
    self.bytes = bytes
    self.fileSystem = fileSystem
    self.metrics = metrics
  }

  /// Asks for room to write so many bytes.
  /// - Parameter isFresh: Whether to ask the disk in any case, because the caller waits for room.
  /// - Returns: Whether the reserve stays free. A disk that does not say how much is free counts as having enough: the write will
  ///   tell.
  func claim(_ wanted: Int, isFresh: Bool = false) -> Bool {
    guard bytes > 0 else { return true }
    let known = state.withLock { state -> Bool? in
      guard !isFresh, let askedAt = state.askedAt, ContinuousClock.now - askedAt < DiskReserve.askInterval,
        state.claimedBytes < DiskReserve.claimedBytesMax
      else { return nil }
      return take(wanted, &state)
    }
    if let known, known { return true }
    do throws(IOFailure) {
      let free = try fileSystem.freeBytes(directory)
      metrics.diskFreeBytes.record(free)
      return state.withLock { state in
        state = State(freeBytes: free, askedAt: .now)
        return take(wanted, &state)
      }
    } catch {
      return true
    }
  }

  private func take(_ wanted: Int, _ state: inout State) -> Bool {
    guard state.freeBytes - state.claimedBytes - wanted >= bytes else { return false }
    state.claimedBytes += wanted
    return true
  }
}
