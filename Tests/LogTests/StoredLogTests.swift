import Events
import TestSupport
import Testing

@testable import Log

/// A stored partition's events, in order.
func storedEvents(_ partition: StoredPartition, from: Offset? = nil, times: Range<Int64>? = nil) throws -> [Event] {
  var batches = try StoredBatches(partition, from: from, times: times)
  var events: [Event] = []
  while let next = try batches.next() { events += next.batch.events() }
  return events
}

@Suite("Reading a log as it lies")
struct StoredLogTests {
  @Test("beside a writer it shows what is durable, at every moment, and changes nothing")
  func besideAWriter() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files, testConfiguration(segmentBytesMax: 1500))
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    for at in 0..<40 {
      _ = try await log.append(batch(UInt64(at * 4 + 1)...UInt64(at * 4 + 4), of: "source/\(at % 3)"))
      let before = (files.paths, files.paths.map { files.contents($0) })
      let found = try stored.partition(PartitionID(0))
      try #require(found.highWatermark == Offset(Int64(at * 4 + 4)) && found.tailBytes == 0)
      try #require(try storedEvents(found) == (try await readAll(log)))
      let verified = try stored.verify(PartitionID(0))
      try #require(verified.findings == [] && verified.events == at * 4 + 4 && verified.endOffset == found.highWatermark)
      try #require(before == (files.paths, files.paths.map { files.contents($0) }))
    }
    #expect(try stored.partition(PartitionID(0)).segments.count > 3)
    await log.close()
  }

  @Test("a write under way is left out, and comes with the tail when asked for")
  func tail() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    _ = try await log.append(batch(1...3))
    let marker = try #require(files.contents(DamageTests.marker))
    _ = try await log.append(batch(4...5))
    // As if the second batch were written, and its sync not done.
    files.set(DamageTests.marker, marker)
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    let found = try stored.partition(PartitionID(0))
    #expect(found.highWatermark == Offset(3) && found.tailBytes > 0)
    #expect(try storedEvents(found).count == 3)
    #expect(try storedEvents(try stored.partition(PartitionID(0), includingTail: true)).count == 5)
    await log.close()
  }

  @Test("it begins at any offset, and passes over batches of other times")
  func places() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files, testConfiguration(segmentBytesMax: 1500))
    for at in 0..<50 { _ = try await log.append(batch((0..<3).map { event(seconds: Int64(at * 3 + $0)) })) }
    let all = try await readAll(log)
    let found = try StoredLog(directory: "/data", fileSystem: files).partition(PartitionID(0))
    for offset in 0...150 {
      let events = try storedEvents(found, from: Offset(Int64(offset)))
      try #require(events == Array(all[(offset / 3 * 3)...]), "from \(offset)")
    }
    let second: Int64 = 1_000_000_000
    for at in stride(from: 0, to: 140, by: 7) {
      let events = try storedEvents(found, times: Int64(at) * second..<Int64(at + 10) * second)
      let wanted = all.filter { (Int64(at) * second..<Int64(at + 10) * second).contains($0.time.nanoseconds) }
      try #require(wanted.allSatisfy(events.contains) && events.count <= wanted.count + 4, "times from \(at)")
    }
    await log.close()
  }

  @Test("any bit flipped in any file is found, or is of no consequence to what a reader gets", arguments: [0, 4])
  func flips(slice: Int) async throws {
    let (files, _, events) = try await DamageTests.segmented()
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    try #require(try stored.verify(PartitionID(0)).findings == [])
    for path in files.paths where path.hasPrefix("/data/log/0/") {
      let original = try #require(files.contents(path))
      for position in stride(from: slice, to: original.count, by: 9) {
        let copy = files.afterCrash(.kill, seed: 0)
        copy.set(path, original.enumerated().map { $0.offset == position ? $0.element ^ (1 << UInt8(position % 8)) : $0.element })
        let found = try StoredLog(directory: "/data", fileSystem: copy).verify(PartitionID(0))
        try #require(!found.findings.isEmpty, "byte \(position) of \(path)")
        try #require(found.events <= events.count)
      }
    }
  }

  @Test("a segment that is missing, cut or of another partition is found")
  func segments() async throws {
    let (files, _, _) = try await DamageTests.segmented()
    for path in files.paths.filter({ $0.hasSuffix(".segment") }).dropFirst() {
      let original = try #require(files.contents(path))
      let copy = files.afterCrash(.kill, seed: 0)
      copy.delete(path)
      #expect(
        try StoredLog(directory: "/data", fileSystem: copy).verify(PartitionID(0)).findings.isEmpty == false, "\(path) gone")
      copy.set(path, Array(original.dropLast()))
      #expect(try StoredLog(directory: "/data", fileSystem: copy).verify(PartitionID(0)).findings.isEmpty == false, "\(path) cut")
    }
  }

  @Test("a batch that is in the log twice is found")
  func twice() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    _ = try await log.append(batch(1...3))
    await log.close()
    let bytes = try #require(files.contents(DamageTests.segment))
    var again = try ColumnBatch(encoded: bytes)
    again.place(partition: PartitionID(0), baseOffset: Offset(3), appendTime: Timestamp(nanoseconds: .max))
    files.set(DamageTests.segment, bytes + again.encoded)
    let found = try StoredLog(directory: "/data", fileSystem: files).verify(PartitionID(0))
    #expect(found.findings.count == 1 && found.findings[0].detail.contains("3 events"))
  }

  @Test("there is no log in an empty folder, and it says so")
  func none() throws {
    let error = #expect(throws: LogError.self) { try StoredLog(directory: "/data", fileSystem: FaultyFileSystem()) }
    #expect(error?.detail.contains("no log") == true)
  }
}
