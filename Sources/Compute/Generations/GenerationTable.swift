import Events
import Views

/// Which generations there are, and what may become of each: the state machine, without files or clocks.
///
/// ```
///            ┌──────────── cancelled
/// building ──┼──▶ held ──▶ live ◀──▶ previous ──▶ dropped
///            └──▶ complete ───────────────────────▶ dropped
/// ```
/// Every view there is has exactly one live generation, whatever happens; at most one is previous.
struct GenerationTable: Sendable, Hashable {
  /// The most kept generations of a view, the live one included.
  static let keptMax = 8
  /// The most generations of a view that are gone and still listed.
  static let goneMax = 32

  /// In the order of their beginning.
  var records: [GenerationRecord] = []
  /// The hash of each view's definition in the file of views when it was last read. So a definition that was rolled back does not
  /// come again at the next start, nor does a removed view, and a view that only `apply` made does not go with the file.
  var configured: [String: String] = [:]
  /// The definition last asked for of each view: asking for it again changes nothing, whatever has been promoted or rolled back
  /// since.
  var declared: [String: ViewDeclaration] = [:]
  /// Views that were removed and not purged yet, by name.
  var removed: [String: RemovedView] = [:]
  /// Generations whose definition this program cannot read, and the reasons. Their rows are left alone.
  var setAside: [GenerationID: String] = [:]

  // MARK: asking

  var kept: [GenerationRecord] { records.filter(\.state.isKept) }

  /// The generations that have rows in the workers' files, removed views' included.
  var stored: Set<GenerationID> {
    let removed = self.removed.values.flatMap(\.records).filter(\.state.isKept)
    return Set((kept + removed).map(\.id)).union(setAside.keys)
  }

  /// In the order in which their first generations began.
  var viewNames: [String] {
    var names: [String] = []
    for record in records where record.state == .live && !names.contains(record.definition.name) {
      names.append(record.definition.name)
    }
    return names
  }

  func of(_ view: String) -> [GenerationRecord] { records.filter { $0.definition.name == view } }
  func live(_ view: String) -> GenerationRecord? { records.first { $0.state == .live && $0.definition.name == view } }
  subscript(_ id: GenerationID) -> GenerationRecord? { records.first { $0.id == id } }

  /// The given generation; the live one for nil.
  func find(_ view: String, _ number: Int?) throws(ViewStoreError) -> GenerationRecord {
    guard let live = live(view) else { throw .unknownView(view, known: viewNames) }
    guard let number else { return live }
    guard let record = self[GenerationID(view: view, number: number)], record.state.isKept else {
      throw .unknownGeneration(number, view: view, known: of(view).filter(\.state.isKept).map(\.number))
    }
    return record
  }

  // MARK: changing

  /// Applies the file of views at a start or a reload. Only its changes since it was last read have an effect.
  /// - Returns: The action on each view of the file.
  /// - Parameter known: The generations that the workers' files have rows of. If the table is lost, a definition finds its rows,
  ///   and its number, again.
  mutating func load(
    _ catalog: ViewCatalog, hold: Bool, known: [KnownGeneration] = [], at now: Timestamp
  ) throws(ViewStoreError) -> [AppliedView] {
    for view in configured.keys.sorted() where catalog[view] == nil { leave(view) }
    var applied: [AppliedView] = []
    for definition in catalog.views {
      let hash = definition.generationHash
      if configured[definition.name] != hash {
        applied.append(try apply(definition, hold: hold, known: known, at: now))
      } else if let live = live(definition.name) {
        retain(definition, in: live)
        applied.append(AppliedView(view: definition.name, generation: live.number, action: .unchanged))
      } else if setAside.keys.contains(where: { $0.view == definition.name }) {
        applied.append(try apply(definition, hold: hold, known: known, at: now))
      } else {
        let last = removed[definition.name]?.records.last?.number ?? 0
        applied.append(AppliedView(view: definition.name, generation: last, action: .removed))
      }
      configured[definition.name] = hash
    }
    return applied
  }

  /// Makes one view follow the definition. If it is the one last asked for, nothing changes.
  mutating func apply(
    _ definition: ViewDefinition, hold: Bool, known: [KnownGeneration] = [], at now: Timestamp
  ) throws(ViewStoreError) -> AppliedView {
    let (view, hash) = (definition.name, definition.generationHash)
    let isBack = removed[view] != nil
    if isBack || live(view) == nil, viewNames.count >= ViewCatalog.viewsMax {
      throw .refused(code: "too_many_views", detail: "there are \(ViewCatalog.viewsMax) views, the most there may be")
    }
    restore(view)
    // In an older table, which lacks this note, the definition in the file was the one last asked for.
    let before = declared[view] ?? configured[view].map { ViewDeclaration(hash: $0) }
    guard let live = live(view) else {
      declared[view] = ViewDeclaration(hash: hash)
      return try create(definition, known: known, at: now)
    }
    func applied(_ number: Int, _ action: AppliedView.Action) -> AppliedView {
      AppliedView(view: view, generation: number, action: isBack && action == .unchanged ? .restored : action)
    }
    let isLive = live.definition.generationHash == hash
    let waits = before?.waiting.flatMap { self[GenerationID(view: view, number: $0)] }.map(\.state.isWaiting) ?? false
    if isLive || before?.hash == hash && (hold || !waits) {
      retain(definition, in: live)
      if let before, isLive, before.hash != hash { holdBack(view, before.hash) }
      declared[view] = ViewDeclaration(hash: hash, waiting: isLive ? nil : before?.waiting)
      return applied(live.number, .unchanged)
    }
    // A whole generation of the same definition may exist already.
    let same = of(view).last { $0.definition.generationHash == hash && $0.isWhole && $0.state.isKept }
    guard let same else {
      let number = try begin(definition, state: .building, promotes: !hold, from: OffsetVector(), to: nil, at: now)
      declared[view] = ViewDeclaration(hash: hash, waiting: hold ? number : nil)
      return applied(number, .building)
    }
    let number = same.number
    declared[view] = ViewDeclaration(hash: hash, waiting: hold ? number : nil)
    retain(definition, in: same)
    if same.state == .building {
      update(same.id) { $0.promotes = !hold }
      return applied(number, .building)
    }
    if hold { return applied(number, .held) }
    takeOver(same.id)
    return applied(number, .promoted)
  }

  /// A building generation that was asked for is no longer asked for: it does not take over by itself.
  private mutating func holdBack(_ view: String, _ hash: String) {
    for record in of(view) where record.state == .building && record.definition.generationHash == hash {
      update(record.id) { $0.promotes = false }
    }
  }

  /// A view's first generation is live at once, and fills up.
  private mutating func create(
    _ definition: ViewDefinition, known: [KnownGeneration], at now: Timestamp
  ) throws(ViewStoreError) -> AppliedView {
    let view = definition.name
    let ofName = known.filter { $0.view == view }
    let last = (ofName.map(\.number) + setAside.keys.filter { $0.view == view }.map(\.number)).max() ?? 0
    let found = ofName.last { $0.hash == definition.generationHash }?.number
    let number = try begin(
      definition, state: .live, promotes: false, from: OffsetVector(), to: nil, at: now, number: found ?? last + 1)
    setAside[GenerationID(view: view, number: number)] = nil
    return AppliedView(view: view, generation: number, action: .created)
  }

  /// The log is another one: live generations begin at its start. The others end, since their offsets belong to the former log.
  mutating func beginAnew() {
    records = records.map { $0.begunAnew() }
    for (view, removal) in removed { removed[view]?.records = removal.records.map { $0.begunAnew() } }
  }

  /// Begins a replay.
  /// - Returns: The replay's number.
  mutating func replay(
    _ definition: ViewDefinition, from: OffsetVector, to: OffsetVector?, times: EventTimeBounds = .all, promotes: Bool,
    at now: Timestamp
  ) throws(ViewStoreError) -> Int {
    guard live(definition.name) != nil else { throw .unknownView(definition.name, known: viewNames) }
    return try begin(definition, state: .building, promotes: promotes, from: from, to: to, times: times, at: now)
  }

  private mutating func begin(
    _ definition: ViewDefinition, state: GenerationState, promotes: Bool, from: OffsetVector, to: OffsetVector?,
    times: EventTimeBounds = .all, at now: Timestamp, number given: Int? = nil
  ) throws(ViewStoreError) -> Int {
    let before = of(definition.name)
    guard before.count(where: \.state.isKept) < GenerationTable.keptMax else {
      throw .refused(
        code: "too_many_generations",
        detail: "view \(definition.name) has \(GenerationTable.keptMax) generations, the most there may be: drop one first")
    }
    let gone = before.filter { !$0.state.isKept }
    if gone.count >= GenerationTable.goneMax, let oldest = gone.first { records.removeAll { $0.id == oldest.id } }
    let number = max(given ?? 1, (before.map(\.number).max() ?? 0) + 1)
    records.append(
      GenerationRecord(
        definition: definition, number: number, state: state, promotes: promotes, from: from, to: to, times: times,
        createdAt: now))
    return number
  }

  /// Notes that in these partitions a generation has counted all events up to its end, or all that the live one has.
  /// Its state changes once that holds for every partition, whoever owns it.
  /// - Parameter count: The number of the log's partitions.
  mutating func caughtUp(_ id: GenerationID, _ partitions: Set<PartitionID>, of count: Int) {
    guard let record = self[id], record.state == .building else { return }
    let settled = record.settled.union(partitions)
    guard settled.count >= count else { return update(id) { $0.settled = settled } }
    update(id) { $0.settled = [] }
    if record.to != nil {
      update(id) { $0.state = .complete }
    } else if record.promotes {
      takeOver(id)
    } else {
      update(id) { $0.state = .held }
    }
  }

  /// These partitions have another owner, who has yet to say that building generations have caught up.
  mutating func movedOn(_ partitions: Set<PartitionID>) {
    for record in records where record.state == .building && !record.settled.isDisjoint(with: partitions) {
      update(record.id) { $0.settled.subtract(partitions) }
    }
  }

  /// - Returns: The number of the generation that is live now, or will be when it has caught up.
  mutating func promote(_ view: String, _ number: Int?) throws(ViewStoreError) -> Int {
    let record = try promotable(view, number)
    switch record.state {
    case .building: update(record.id) { $0.promotes = true }
    case .held, .previous: takeOver(record.id)
    case .live, .complete, .cancelled, .dropped: break
    }
    return record.number
  }

  func promotable(_ view: String, _ number: Int?) throws(ViewStoreError) -> GenerationRecord {
    guard let live = live(view) else { throw .unknownView(view, known: viewNames) }
    let record: GenerationRecord
    if let number {
      record = try find(view, number)
    } else {
      guard let newest = of(view).last(where: { $0.to == nil && ($0.state == .held || $0.state == .building) }) else {
        throw .refused(
          code: "nothing_to_promote", detail: "view \(view) has no generation that waits or builds; \(live.number) is live")
      }
      record = newest
    }
    guard record.to == nil else {
      throw .refused(
        code: "replay_bounded",
        detail:
          "\(record.id) is a replay that ends at \(record.to?.description ?? ""): it would count no more events; begin one without 'to'"
      )
    }
    return record
  }

  /// - Returns: The number of the generation that is live now.
  mutating func rollback(_ view: String) throws(ViewStoreError) -> Int {
    guard live(view) != nil else { throw .unknownView(view, known: viewNames) }
    guard let previous = of(view).first(where: { $0.state == .previous }) else {
      throw .refused(code: "nothing_to_roll_back_to", detail: "view \(view) has no previous generation")
    }
    takeOver(previous.id)
    return previous.number
  }

  /// - Returns: The generation's new state.
  mutating func drop(_ view: String, _ number: Int) throws(ViewStoreError) -> GenerationState {
    let record = try find(view, number)
    guard record.state != .live else {
      throw .refused(code: "generation_live", detail: "\(record.id) is live: promote or roll back to another first")
    }
    let state: GenerationState = record.state == .building ? .cancelled : .dropped
    update(record.id) { $0.state = state }
    return state
  }

  /// The promotion: one assignment, one commit.
  private mutating func takeOver(_ id: GenerationID) {
    let previous = of(id.view).first { $0.state == .previous }
    let live = live(id.view)
    guard live?.id != id else { return }
    if let previous, previous.id != id { update(previous.id) { $0.state = .dropped } }
    if let live { update(live.id) { $0.state = .previous } }
    update(id) { $0.state = .live }
    if declared[id.view]?.waiting == id.number { declared[id.view]?.waiting = nil }
  }

  /// Retention says nothing about the content of rows: it changes in place. Rows of another definition keep that definition.
  private mutating func retain(_ definition: ViewDefinition, in record: GenerationRecord) {
    let isSame = record.definition.generationHash == definition.generationHash
    guard isSame || record.definition.retention != definition.retention else { return }
    update(record.id) { $0.definition = isSame ? definition : $0.definition.with(retention: definition.retention) }
  }

  /// A view that is no longer in the file of views ends; if it was removed, it may come again with the file.
  private mutating func leave(_ view: String) {
    configured[view] = nil
    guard removed[view] == nil else { return }
    records.removeAll { $0.definition.name == view }
    declared[view] = nil
  }

  mutating func update(_ id: GenerationID, _ change: (inout GenerationRecord) -> Void) {
    guard let index = records.firstIndex(where: { $0.id == id }) else { return }
    change(&records[index])
  }
}

extension GenerationState {
  /// Whether it is not live, and may become so.
  fileprivate var isWaiting: Bool { self == .building || self == .held || self == .previous }
}
