import Events
import SQLite
import Synchronization
import Views

/// Adds up the rows of a worker's file from time to time: that takes a pass over them, and at most a twentieth of the time is
/// spent on it.
final class StoredTallies: Sendable {
  /// A tally counts as new for so many times as long as it took.
  private static let restFactor = 20.0

  private struct Known {
    var tallies: [RowTally]
    var at: ContinuousClock.Instant
    var took: Duration
  }

  private let file: CheckpointFile
  private let known = Mutex<[GenerationID: Known]>([:])

  init(_ file: CheckpointFile) { self.file = file }

  private func recent(_ id: GenerationID) -> [RowTally]? {
    known.withLock { known in
      guard let one = known[id], ContinuousClock.now - one.at < one.took * StoredTallies.restFactor else { return nil }
      return one.tallies
    }
  }

  private func note(_ tallies: [RowTally], of id: GenerationID, began: ContinuousClock.Instant) {
    known.withLock { $0[id] = Known(tallies: tallies, at: .now, took: .now - began) }
  }

  func forget(_ id: GenerationID) { known.withLock { $0[id] = nil } }

  /// The events that the file's rows of a generation count, beside the number that its progress states: both of one moment.
  func tallies(of record: GenerationRecord) async throws(ComputeError) -> [RowTally] {
    if let known = recent(record.id) { return known }
    let began = ContinuousClock.now
    let (id, definition) = (record.id, record.definition)
    let tallies = try await file.read { db, stop in
      let progress = try db.rows(
        """
        SELECT id, partition, next_offset, applied, dropped_events FROM progress JOIN view ON view.id = progress.view
        WHERE name = ? AND generation = ? ORDER BY partition
        """, id.view, id.number
      ) { row in
        (
          view: row.int64(0),
          tally: RowTally(
            partition: PartitionID(row.int(1)), nextOffset: Offset(row.int64(2)), applied: row.int(3), inRows: 0,
            dropped: row.int(4))
        )
      }
      return try progress.map { view, tally in
        try stop.check()
        var tally = tally
        tally.inRows =
          switch definition.window.keeping {
          case .slots:
            try StoredRuns.countEvents(db, .rows(view: view, tally.partition), stride: definition.layout.stride, stop)
          case .sessions: try StoredSessions.countEvents(db, view: view, tally.partition)
          }
        return tally
      }
    }
    note(tallies, of: record.id, began: began)
    return tallies
  }
}
