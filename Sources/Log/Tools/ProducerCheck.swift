import Events
import Producers

/// Compares producer snapshots with the state that the log's batches give, and the batches with each other: no (source, epoch,
/// sequence) twice.
struct ProducerCheck {
  private struct Snapshot {
    var base: Offset
    var state: ProducerState
    var lastAppendTime: Timestamp
  }

  private(set) var findings: [LogFinding] = []
  private let partition: PartitionID
  private var snapshots: [Snapshot] = []
  private var rebuilt = ProducerCheck.empty()
  private var lastAppendTime: Timestamp?
  /// The latest event identities of the log, oldest first: as many as the snapshots need.
  private var identities: [(digest: IdentityDigest, appendTime: Timestamp)] = []
  private var identitiesMax = 0
  /// Whether `rebuilt` knows every source. If the log's first segments are gone, it does not until a snapshot has said what they
  /// held.
  private var isComplete = false
  private var isLost = false
  /// The most findings reported.
  private static let findingsMax = 20

  init(partition: PartitionID) { self.partition = partition }

  private static func empty() -> ProducerState {
    ProducerState(
      dedupWindow: .seconds(Int64.max / 2_000_000_000), identitiesMax: LogConfiguration.dedupIdentitiesRange.upperBound)
  }

  mutating func begin(at start: Offset) {
    isComplete = start == .zero
  }

  mutating func add(_ stored: [UInt8], base: Offset) {
    var state = ProducerCheck.empty()
    do throws(RecordDamage) {
      let time = try ProducerSnapshot.decode(stored, partition: partition, base: base, into: &state)
      identitiesMax = max(identitiesMax, state.identities.count)
      snapshots.append(Snapshot(base: base, state: state, lastAppendTime: time))
    } catch {
      find(base, "\(error)")
    }
  }

  /// Batches could not be read: from here on nothing is known until the next snapshot.
  mutating func loseTrack() { isLost = true }

  mutating func take(_ batch: ColumnBatch) {
    let columns = batch.producers()
    let exceptions = rebuilt.judgeSequences(batch, columns)
    if let first = exceptions.first, findings.count < ProducerCheck.findingsMax {
      findings.append(
        LogFinding(
          partition: partition, file: "offset \(batch.baseOffset.advanced(by: first.row))", position: nil,
          detail: "its source's epoch and sequence are not above those before it (\(exceptions.count) events of its batch)"))
    }
    lastAppendTime = batch.header.appendTime
    guard identitiesMax > 0, !columns.identities.isEmpty else { return }
    for identity in columns.identities {
      guard let identity else { continue }
      identities.append((IdentityDigest(high: identity.high, low: identity.low), batch.header.appendTime))
    }
    if identities.count > identitiesMax * 2 { identities.removeFirst(identities.count - identitiesMax) }
  }

  /// The segment with this base offset begins.
  mutating func reach(_ base: Offset) {
    while let snapshot = snapshots.first, snapshot.base <= base {
      snapshots.removeFirst()
      // No segment begins at this snapshot's base: the segment was never begun, or is gone. The snapshot is not used.
      guard snapshot.base == base else { continue }
      if !isLost { compare(snapshot) }
      // It also knows the sources whose events are gone.
      rebuilt = snapshot.state
      (isComplete, isLost) = (true, false)
    }
  }

  private mutating func compare(_ snapshot: Snapshot) {
    var different = 0
    let table = rebuilt.table
    for entry in 0..<table.count {
      let isSame = table.withName(of: entry) { name in
        snapshot.state.table.find(name).map { snapshot.state.table.position(of: $0) } == table.position(of: entry)
      }
      if !isSame { different += 1 }
    }
    if different > 0 { find(snapshot.base, "\(different) sources have other positions than the log says") }
    if isComplete, snapshot.state.table.count > table.count {
      find(snapshot.base, "\(snapshot.state.table.count - table.count) sources that the log does not have")
    }
    // A group whose every row was a duplicate has an append time too.
    if let lastAppendTime, snapshot.lastAppendTime < lastAppendTime {
      find(snapshot.base, "its last append time is \(snapshot.lastAppendTime), the log's \(lastAppendTime)")
    }
    // The window's length is the writer's setting: the remembered identities must be the log's latest, however many.
    let remembered = snapshot.state.identities.remembered.identities.suffix(identities.count)
    if !remembered.elementsEqual(identities.suffix(remembered.count).map(\.digest)) {
      find(snapshot.base, "the identities remembered are not the log's latest")
    }
  }

  private mutating func find(_ base: Offset, _ detail: String) {
    findings.append(
      LogFinding(partition: partition, file: PartitionPaths.name(base) + ".producers", position: nil, detail: detail))
  }
}
