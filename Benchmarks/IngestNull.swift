import ArgumentParser
import CEpoll
import Events
import Glibc
import Ingest
import Logging
import NIOCore
import NIOPosix
import Serving
import Synchronization

struct IngestNull: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ingest-null", abstract: "Serves ingest over a log that keeps nothing, to see what ingest itself costs.")

  @Option(help: "The port to listen on; 0 takes a free one.")
  var port = 0

  @Option(help: "Event loops.")
  var threads = 1

  @Option(help: "Milliseconds that a sync takes.")
  var sync = 1

  func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
    let log = NullLog(partitionCount: 8, syncMicroseconds: UInt32(sync * 1000))
    let service = IngestService(
      configuration: IngestConfiguration(port: port), log: log, group: group,
      probe: ServiceProbe(readiness: { .init([]) }, metrics: { "" }), logger: Logger(label: "ingest-null"))
    let address = try await service.start()
    let line = "listening ingest 127.0.0.1:\(address?.port ?? port)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    while true { try await Task.sleep(for: .seconds(3600)) }
  }
}

/// Forgets what it is given, after the time that a sync takes. One thread stands for all partitions, as their syncs go in
/// parallel.
final class NullLog: EventLog {
  private struct State {
    var waiting: [(batch: ColumnBatch, completion: @Sendable (Result<AppendReceipt, LogError>) -> Void)] = []
    var next: [Int64]
  }

  let partitionCount: Int
  let identity = LogIdentity(high: 1, low: 1, epoch: 1)
  private let state: Mutex<State>
  private let wakeUp: Int32

  init(partitionCount: Int, syncMicroseconds: UInt32) {
    self.partitionCount = partitionCount
    state = Mutex(State(next: Array(repeating: 0, count: partitionCount)))
    wakeUp = eventfd(0, 0)
    let thread = NIOThreadPool(numberOfThreads: 1)
    thread.start()
    thread.submit { [self] _ in
      while true {
        var number: UInt64 = 0
        _ = Glibc.read(wakeUp, &number, 8)
        let taken = state.withLock { state in
          defer { state.waiting = [] }
          return state.waiting
        }
        if syncMicroseconds > 0 { usleep(syncMicroseconds) }
        for (batch, completion) in taken {
          let partition = batch.partition.index
          let base = state.withLock { state in
            defer { state.next[partition] += Int64(batch.count) }
            return state.next[partition]
          }
          completion(
            .success(
              AppendReceipt(baseOffset: Offset(base), endOffset: Offset(base + Int64(batch.count)))))
        }
      }
    }
  }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    let isFirst = state.withLock { state in
      state.waiting.append((batch, completion))
      return state.waiting.count == 1
    }
    if isFirst {
      var one: UInt64 = 1
      _ = Glibc.write(wakeUp, &one, 8)
    }
  }

  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  { [] }

  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    let next = state.withLock { $0.next[partition.index] }
    return PartitionBounds(startOffset: Offset(next), highWatermark: Offset(next))
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {}

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    [:]
  }

  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  { nil }
}
