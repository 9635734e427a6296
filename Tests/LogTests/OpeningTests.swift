import Events
import Producers
import Testing

@testable import Log

@Suite("Opening a large log")
struct OpeningTests {
  @Test("10 GiB of sealed segments cost their indexes' first bytes: nothing of the segments is read")
  func tenGibibytes() async throws {
    let directory = try temporaryDirectory()
    defer { removeRecursively(directory) }
    let files = PosixFileSystem()
    var configuration = LogConfiguration(directory: directory)
    configuration.partitions = 1
    do {
      let log = try await SegmentedLog.open(configuration, fileSystem: files, logger: quiet)
      await log.close()
    }
    let paths = LogPaths(root: directory + "/log").partition(PartitionID(0))
    try files.remove(paths.segment(.zero))
    try files.remove(paths.marker)
    // Two batches of 32 MiB a segment, as far as the index knows; the segments themselves are holes.
    let bytes = 32 << 20
    for number in 0..<160 {
      let base = Offset(Int64(number * 1000))
      var index = SparseIndex(base: base)
      for half in 0..<2 {
        index.append(
          BatchHeader(
            partition: PartitionID(0), baseOffset: base.advanced(by: half * 500), count: 500, codec: .none,
            firstEventTime: Timestamp(nanoseconds: 0), lastEventTime: Timestamp(nanoseconds: 1),
            appendTime: Timestamp(nanoseconds: Int64(number * 2 + half)), storedBytes: bytes - BatchHeader.byteCount,
            inflatedBytes: bytes - BatchHeader.byteCount, payloadChecksum: 0), interval: 64 << 10)
      }
      try files.open(paths.segment(base), .create).truncate(to: 2 * bytes)
      try files.open(paths.index(base), .create).writeAll(index.encoded(PartitionID(0)), at: 0)
    }
    let active = Offset(160_000)
    _ = try files.open(paths.segment(active), .create)
    let state = ProducerState(dedupWindow: .zero, identitiesMax: 1)
    let snapshot = ProducerSnapshot.encoded(
      state, partition: PartitionID(0), base: active, lastAppendTime: Timestamp(nanoseconds: 319))
    try files.replace(paths.producers(active), with: snapshot)

    let start = ContinuousClock.now
    let log = try await SegmentedLog.open(configuration, fileSystem: files, logger: quiet)
    let elapsed = ContinuousClock.now - start
    #expect(log.status()[0].state == .open && log.status()[0].bytes == 10 << 30)
    #expect(log.reports[0].bytesScanned == 0)
    // Milliseconds, where nothing else runs.
    #expect(elapsed < .seconds(60), "\(elapsed)")
    await log.close()
    let stored = try StoredLog(directory: directory).partition(PartitionID(0))
    #expect(stored.bytes == 10 << 30 && stored.segments.count == 161)
  }
}
