import Events
import Views

extension GenerationTable {
  /// Ends a view by hand. Its generations are kept until `purgeAt`, and come back as they were when the view is applied
  /// again before. Removing a view again sets another time.
  mutating func remove(_ view: String, purgeAt: Timestamp, at now: Timestamp) throws(ViewStoreError) -> RemovedView {
    if removed[view] != nil {
      removed[view]?.purgeAt = purgeAt
    } else {
      guard live(view) != nil else { throw .unknownView(view, known: viewNames) }
      takeAway(view, RemovedView(at: now, purgeAt: purgeAt, records: []))
    }
    return removed[view] ?? RemovedView(at: now, purgeAt: purgeAt, records: [])
  }

  /// Moves a view's generations out of those that are answered and counted.
  mutating func takeAway(_ view: String, _ removal: RemovedView) {
    var removal = removal
    removal.records = records.filter { $0.definition.name == view }
    records.removeAll { $0.definition.name == view }
    removed[view] = removal
  }

  /// Brings a removed view's generations back as they were; nothing where there are none.
  mutating func restore(_ view: String) {
    guard let removal = removed.removeValue(forKey: view) else { return }
    records += removal.records
  }

  /// Purges removed views whose time has come.
  mutating func purge(at now: Timestamp) {
    for (view, removal) in removed where removal.purgeAt <= now { purge(view) }
  }

  mutating func purge(_ view: String) {
    removed[view] = nil
    declared[view] = nil
  }

  /// The time of the next purge; nil when there is none.
  var nextPurge: Timestamp? { removed.values.map(\.purgeAt).min() }
}
