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
  /// Kept generations of a view, the live one among them.
  static let keptMax = 8
  /// Generations of a view that are gone and still listed.
  static let goneMax = 32

  /// In the order they began.
  private(set) var records: [GenerationRecord] = []
  /// What the file of views said last of each view, as a hash: a definition that was rolled back does not come again at the next start, and
  /// a view that came by `apply` alone does not go with it.
  private(set) var configured: [String: String] = [:]

  init() {}

  init(records: [GenerationRecord], configured: [String: String]) {
    self.records = records
    self.configured = configured
  }

  // MARK: asking

  var kept: [GenerationRecord] { records.filter(\.state.isKept) }

  /// In the order their first generation began.
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

  /// The generation asked for, the live one when none is.
  func find(_ view: String, _ number: Int?) throws(ViewStoreError) -> GenerationRecord {
    guard let live = live(view) else { throw .unknownView(view, known: viewNames) }
    guard let number else { return live }
    guard let record = self[GenerationID(view: view, number: number)], record.state.isKept else {
      throw .unknownGeneration(number, view: view, known: of(view).filter(\.state.isKept).map(\.number))
    }
    return record
  }

  // MARK: changing

  /// What the file of views says at a start or a reload. Only what has changed in the file since it was last read has an effect.
  /// - Returns: What was done with each view of the file.
  /// - Parameter known: What the workers' files have rows of. Should the table be lost, a definition finds its rows, and its number, again.
  mutating func load(
    _ catalog: ViewCatalog, hold: Bool, known: [CheckpointStore.KnownGeneration] = [], at now: Timestamp
  ) throws(ViewStoreError) -> [AppliedView] {
    for view in viewNames where configured[view] != nil && catalog[view] == nil { remove(view) }
    var applied: [AppliedView] = []
    for definition in catalog.views {
      let hash = definition.generationHash
      if configured[definition.name] == hash, let live = live(definition.name) {
        retain(definition, in: live.id)
        applied.append(AppliedView(view: definition.name, generation: live.number, action: .unchanged))
      } else {
        applied.append(try apply(definition, hold: hold, known: known, at: now))
      }
      configured[definition.name] = hash
    }
    return applied
  }

  /// Makes one view be what the definition says.
  mutating func apply(
    _ definition: ViewDefinition, hold: Bool, known: [CheckpointStore.KnownGeneration] = [], at now: Timestamp
  ) throws(ViewStoreError) -> AppliedView {
    let hash = definition.generationHash
    guard let live = live(definition.name) else {
      guard viewNames.count < ViewCatalog.viewsMax else {
        throw .refused(code: "too_many_views", detail: "there are \(ViewCatalog.viewsMax) views, the most there may be")
      }
      let ofName = known.filter { $0.view == definition.name }
      let number = try begin(
        definition, state: .live, promotes: false, from: OffsetVector(), to: nil, at: now,
        number: ofName.last { $0.hash == hash }?.number ?? (ofName.map(\.number).max() ?? 0) + 1)
      return AppliedView(view: definition.name, generation: number, action: .created)
    }
    if live.definition.generationHash == hash {
      retain(definition, in: live.id)
      return AppliedView(view: definition.name, generation: live.number, action: .unchanged)
    }
    // A whole generation of the same definition may be here already.
    if let same = of(definition.name).last(where: {
      $0.definition.generationHash == hash && $0.from.offsets.isEmpty && $0.to == nil && $0.state.isKept
    }) {
      retain(definition, in: same.id)
      if same.state == .building {
        update(same.id) { $0.promotes = !hold }
        return AppliedView(view: definition.name, generation: same.number, action: .building)
      }
      if hold {
        update(same.id) { $0.state = .held }
        return AppliedView(view: definition.name, generation: same.number, action: .unchanged)
      }
      takeOver(same.id)
      return AppliedView(view: definition.name, generation: same.number, action: .promoted)
    }
    let number = try begin(definition, state: .building, promotes: !hold, from: OffsetVector(), to: nil, at: now)
    return AppliedView(view: definition.name, generation: number, action: .building)
  }

  /// Begins a replay.
  /// - Returns: Its number.
  mutating func replay(
    _ definition: ViewDefinition, from: OffsetVector, to: OffsetVector?, promotes: Bool, at now: Timestamp
  ) throws(ViewStoreError) -> Int {
    try begin(definition, state: .building, promotes: promotes, from: from, to: to, at: now)
  }

  private mutating func begin(
    _ definition: ViewDefinition, state: GenerationState, promotes: Bool, from: OffsetVector, to: OffsetVector?,
    at now: Timestamp, number given: Int? = nil
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
        definition: definition, number: number, state: state, promotes: promotes, from: from, to: to, createdAt: now))
    return number
  }

  /// In these partitions it has counted all there is up to its end, or all that the live one has. Its state changes once that holds for
  /// every partition, whoever owns it.
  /// - Parameter count: Of the log's partitions.
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

  /// These partitions have another owner, who has yet to say that what builds has caught up.
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

  /// The generation that a promotion is of.
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

  /// - Returns: What it became.
  mutating func drop(_ view: String, _ number: Int) throws(ViewStoreError) -> GenerationState {
    let record = try find(view, number)
    guard record.state != .live else {
      throw .refused(code: "generation_live", detail: "\(record.id) is live: promote or roll back to another first")
    }
    let state: GenerationState = record.state == .building ? .cancelled : .dropped
    update(record.id) { $0.state = state }
    return state
  }

  /// The swap: one assignment, one commit.
  private mutating func takeOver(_ id: GenerationID) {
    let previous = of(id.view).first { $0.state == .previous }
    let live = live(id.view)
    guard live?.id != id else { return }
    if let previous, previous.id != id { update(previous.id) { $0.state = .dropped } }
    if let live { update(live.id) { $0.state = .previous } }
    update(id) { $0.state = .live }
  }

  /// How long rows are kept is no part of what they hold: it changes in place.
  private mutating func retain(_ definition: ViewDefinition, in id: GenerationID) { update(id) { $0.definition = definition } }

  private mutating func remove(_ view: String) {
    records.removeAll { $0.definition.name == view }
    configured[view] = nil
  }

  private mutating func update(_ id: GenerationID, _ change: (inout GenerationRecord) -> Void) {
    guard let index = records.firstIndex(where: { $0.id == id }) else { return }
    change(&records[index])
  }
}
