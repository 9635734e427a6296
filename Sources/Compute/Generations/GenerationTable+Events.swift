import Events

extension GenerationTable {
  /// The events that turn this table into the other one, except for the order of generations that change at once.
  func events(to after: GenerationTable) -> [ViewsEvent] {
    var events: [ViewsEvent] = []
    var table = self
    func add(_ event: ViewsEvent) {
      events.append(event)
      table.apply(event)
    }
    for (view, removal) in after.removed.sorted(by: { $0.key < $1.key }) where removed[view]?.purgeAt != removal.purgeAt {
      add(.removed(view, at: removal.at, purgeAt: removal.purgeAt))
    }
    for (view, removal) in removed.sorted(by: { $0.key < $1.key }) where after.removed[view] == nil {
      let isBack = removal.records.contains { after[$0.id] != nil }
      add(isBack ? .restored(view) : .purged(view))
    }
    for record in table.records where after[record.id] == nil { add(.forgotten(record.id)) }
    for record in after.records {
      guard let before = table[record.id] else {
        add(.began(record))
        continue
      }
      if before.definition != record.definition { add(.redefined(record.id, record.definition)) }
      if before.state != record.state || before.promotes != record.promotes || before.settled != record.settled {
        add(.became(record.id, record.state, promotes: record.promotes, settled: record.settled))
      }
    }
    for view in Set(table.configured.keys).union(after.configured.keys).sorted()
    where table.configured[view] != after.configured[view] {
      add(.configured(view, hash: after.configured[view]))
    }
    for view in Set(table.declared.keys).union(after.declared.keys).sorted() where table.declared[view] != after.declared[view] {
      add(.declared(view, after.declared[view]))
    }
    return events
  }

  mutating func apply(_ event: ViewsEvent) {
    switch event {
    case .began(let record):
      records.removeAll { $0.id == record.id }
      setAside[record.id] = nil
      records.append(record)
    case .became(let id, let state, let promotes, let settled):
      update(id) { record in
        record.state = state
        record.promotes = promotes
        record.settled = settled
      }
    case .redefined(let id, let definition): update(id) { $0.definition = definition }
    case .forgotten(let id):
      records.removeAll { $0.id == id }
      setAside[id] = nil
    case .configured(let view, let hash): configured[view] = hash
    case .declared(let view, let declaration): declared[view] = declaration
    case .removed(let view, let at, let purgeAt):
      if removed[view] != nil {
        removed[view]?.purgeAt = purgeAt
      } else {
        takeAway(view, RemovedView(at: at, purgeAt: purgeAt, records: []))
      }
    case .restored(let view): restore(view)
    case .purged(let view): purge(view)
    case .unreadable(let id, let reason):
      records.removeAll { $0.id == id }
      setAside[id] = reason
    }
  }
}
