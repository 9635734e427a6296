import Events
import Logging
import Producers
import Synchronization

@testable import Log

/// A log in memory: what an engine has to bring, and nothing more. It outlives its closing, as an engine's servers do.
final class MemoryLog: PartitionedLog {
  let identity: LogIdentity
  let partitions: LogPartitions

  init(_ place: MemoryPlace) async {
    identity = place.identity
    let clock = LogClock(wall: { place.clock.now }, steady: { place.clock.now.nanoseconds })
    partitions = await LogPartitions(.init(place.configuration, clock: clock, logger: quiet)) { partition in
      MemoryStore(place.kept[partition.index], place.configuration).opened()
    }
    _ = clock.begin(after: nil, nil)
  }

  func runWatch(every interval: Duration) async {}
  func close() async { await partitions.close() }
}

struct MemoryPlace: LogPlace {
  let identity = LogIdentity.random()
  let configuration: LogConfiguration
  let clock: TestClock
  let kept: [MemoryReader]

  init(_ configuration: LogConfiguration, _ clock: TestClock) {
    self.configuration = configuration
    self.clock = clock
    kept = (0..<configuration.partitions).map { _ in MemoryReader() }
  }

  func open() async throws -> any TestedLog { await MemoryLog(self) }
}

extension MemoryLog: TestedLog {}

/// One partition's batches, in pieces that are removed whole.
final class MemoryReader: PartitionReader {
  struct State {
    var pieces: [[ColumnBatch]] = [[]]
    var removedEnd = Offset.zero

    var batches: [ColumnBatch] { Array(pieces.joined()) }
    var end: Offset { batches.last?.endOffset ?? removedEnd }
  }

  let state = Mutex(State())

  var startOffset: Offset { state.withLock { $0.batches.first?.baseOffset ?? $0.removedEnd } }
  var size: (pieces: Int, bytes: Int) {
    state.withLock { ($0.pieces.count, $0.batches.reduce(0) { $0 + $1.encoded.count }) }
  }

  func read(from start: Offset, below end: Offset, bytesMax: Int) throws(LogError) -> [ColumnBatch] {
    var read: [ColumnBatch] = []
    var bytes = 0
    for batch in state.withLock({ $0.batches }) where batch.endOffset > start && batch.baseOffset < end {
      bytes += batch.encoded.count
      guard read.isEmpty || bytes <= bytesMax else { break }
      read.append(batch)
    }
    return read
  }

  func firstOffset(atOrAfter time: Timestamp) throws(LogError) -> Offset? {
    state.withLock { $0.batches }.first { $0.header.lastEventTime >= time }?.baseOffset
  }
}

final class MemoryStore: PartitionStore {
  private let kept: MemoryReader
  private let configuration: LogConfiguration

  init(_ kept: MemoryReader, _ configuration: LogConfiguration) {
    self.kept = kept
    self.configuration = configuration
  }

  func opened() -> OpenedStore {
    var producers = ProducerState(dedupWindow: configuration.dedupWindow, identitiesMax: configuration.dedupIdentitiesMax)
    let state = kept.state.withLock { ($0.batches, $0.end) }
    for batch in state.0 { producers.replay(batch) }
    return OpenedStore(
      self, end: state.1, lastAppendTime: state.0.last?.header.appendTime ?? Timestamp(nanoseconds: 0), producers: producers)
  }

  var reader: any PartitionReader { kept }
  func shortage(of bytes: Int, isFresh: Bool) -> String? { nil }

  func isRollDue(before bytes: Int, behind groupBytes: Int) -> Bool {
    let last = kept.state.withLock { ($0.pieces.last ?? []).reduce(0) { $0 + $1.encoded.count } }
    return last + groupBytes > 0 && last + groupBytes + bytes > configuration.segmentBytesMax
  }

  func append(_ group: [ColumnBatch]) {
    kept.state.withLock { $0.pieces[$0.pieces.count - 1] += group }
  }

  func sync() {}
  func publish(_ batches: [ColumnBatch]) {}
  func mark() {}
  func takeBack() -> ProducerState { opened().producers }
  func noteOpened() {}
  func problem() -> LogError? { nil }
  func close() {}
  func roll(_ producers: ProducerState, lastAppendTime: Timestamp) { kept.state.withLock { $0.pieces.append([]) } }
  func isBegun(before time: Timestamp) -> Bool { false }
  func renewSnapshot(_ producers: ProducerState, lastAppendTime: Timestamp) -> Bool { true }
  func hasSurplus(_ rule: RetentionRule) -> Bool { false }
  func removeSurplus(_ rule: RetentionRule) -> Int { 0 }
}
