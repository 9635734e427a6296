/// The decisions about views, in order: a numbered list of entries that only grows, kept with the log's files and as durable as
/// they are.
///
/// Only its writer knows an entry's meaning; the record's keeper knows bytes. Entries are numbered from 0, without gaps.
public protocol ViewsRecord: Sendable {
  /// Entries from `number` on, in order: as many as `bytesMax` allows, one at least where there is one.
  /// - Returns: Empty where `number` is the record's end.
  /// - Throws: `.outOfRange` when `number` is beyond the end, `.corrupt` where an entry is damaged.
  nonisolated(nonsending) func entries(from number: Int, bytesMax: Int) async throws(LogError) -> [[UInt8]]

  /// Appends an entry with this number, and returns once it is synced.
  ///
  /// It may be called twice, as when an answer was lost: an entry that is there already under its number is not appended again.
  /// - Parameters:
  ///   - entry: 1...`ViewsRecordLimits.entryBytesMax` bytes.
  ///   - number: The entry's number, as its writer counts.
  /// - Returns: False when another entry has the number, or the record is not that long.
  nonisolated(nonsending) func append(_ entry: [UInt8], as number: Int) async throws(LogError) -> Bool

  /// Returns when the record has more than `count` entries, or the task is cancelled.
  nonisolated(nonsending) func waitForEntry(past count: Int) async throws(LogError)
}

public enum ViewsRecordLimits {
  /// A change of all possible views, with their definitions, has a fourth of it at most.
  public static let entryBytesMax = 4 << 20
}
