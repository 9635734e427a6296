import Events
import Testing

@testable import Log

/// Damage to files: recovered or refused, never wrong.
@Suite("Damaged files")
struct DamageTests {
  static let segment = "/data/log/0/00000000000000000000.segment"
  static let marker = "/data/log/0/high-watermark"
  static let producers = "/data/log/0/00000000000000000000.producers"

  /// The knowledge of the durable end when the damaged partition is opened.
  enum Marker: CaseIterable {
    case exact, afterFirst, missing
  }

  /// A segment of three batches, each a group of its own, and its files.
  struct Sample {
    var bytes: [UInt8]
    /// Where each batch ends, from 0.
    var ends: [Int]
    var events: [Event]
    var marker: [UInt8]

    static func make() async throws -> Sample {
      let files = FaultyFileSystem()
      let log = try await openLog(files)
      var ends = [0]
      for range in [1...2, 3...3, 4...6] as [ClosedRange<UInt64>] {
        _ = try await log.append(batch(range))
        ends.append(files.contents(segment)?.count ?? 0)
      }
      await log.close()
      return Sample(
        bytes: try #require(files.contents(segment)), ends: ends,
        events: (1...6).map { event(sequence: $0, value: Int64($0)) }, marker: try #require(files.contents(DamageTests.marker)))
    }

    func durableBytes(_ marker: Marker) -> Int {
      switch marker {
      case .exact: bytes.count
      case .afterFirst: ends[1]
      case .missing: 0
      }
    }

    /// Opens a partition whose segment is `bytes`.
    /// - Returns: Its events, nil when it refuses to open, and what it holds on disk afterwards.
    func open(_ bytes: [UInt8], _ marker: Marker) throws -> (events: [Event]?, left: [UInt8]) {
      let files = FaultyFileSystem()
      for path in ["/data", "/data/log", "/data/log/0"] { _ = try files.createDirectory(path) }
      files.set(DamageTests.segment, bytes)
      switch marker {
      case .exact: files.set(DamageTests.marker, self.marker)
      case .afterFirst:
        let stale = HighWatermarkMarker(highWatermark: Offset(2), segment: .zero, position: ends[1], isRelaxed: false)
        files.set(DamageTests.marker, stale.encoded(PartitionID(0)))
      case .missing: break
      }
      let partition = PartitionFiles(
        partition: PartitionID(0), paths: PartitionPaths(directory: "/data/log/0"), fileSystem: files,
        indexIntervalBytes: 64 << 10,
        mayWriteIndexes: true, logger: quiet)
      do throws(LogError) {
        let recovered = try PartitionRecovery(files: partition, configuration: testConfiguration()).run()
        let end = recovered.active.end
        let segments = SegmentReader(
          files: partition, sealed: recovered.sealed, active: recovered.active, activeFile: recovered.activeFile)
        var events: [Event] = []
        while case let next = Offset(Int64(events.count)), next < end {
          events += try segments.read(from: next, below: end, bytesMax: 1 << 20).flatMap { $0.events() }
        }
        return (events, files.contents(DamageTests.segment) ?? [])
      } catch {
        guard error.code == .corrupt else { throw error }
        return (nil, files.contents(DamageTests.segment) ?? [])
      }
    }
  }

  @Test(
    "a segment cut at any byte keeps exactly its whole batches, or is refused below what was durable", arguments: Marker.allCases)
  func cuts(_ marker: Marker) async throws {
    let sample = try await Sample.make()
    for length in 0...sample.bytes.count {
      let (events, left) = try sample.open(Array(sample.bytes.prefix(length)), marker)
      if length < sample.durableBytes(marker) {
        try #require(events == nil, "cut at \(length) lost durable data, and opened")
        try #require(left.count == length, "cut at \(length): refused, and yet changed")
      } else {
        let whole = sample.ends.lastIndex { $0 <= length } ?? 0
        let expected = [0, 2, 3, 6][whole]
        try #require(events == Array(sample.events.prefix(expected)), "cut at \(length)")
        try #require(left.count == sample.ends[whole], "cut at \(length)")
      }
    }
  }

  @Test("with any one bit of a segment flipped it is refused, or recovered without a wrong event", arguments: Marker.allCases)
  func flips(_ marker: Marker) async throws {
    let sample = try await Sample.make()
    for position in 0..<sample.bytes.count {
      for bit in 0..<8 {
        var bytes = sample.bytes
        bytes[position] ^= 1 << UInt8(bit)
        let (events, left) = try sample.open(bytes, marker)
        guard let events else {
          try #require(left == bytes, "bit \(bit) of byte \(position): refused, and yet changed")
          continue
        }
        try #require(position >= sample.durableBytes(marker), "bit \(bit) of byte \(position) of durable data, and it opened")
        // Cut at the damaged batch: only the last may have been unsynced, or one whose header cannot be told from an unsynced
        // one's.
        let whole = sample.ends.lastIndex { $0 <= position } ?? 0
        try #require(events == Array(sample.events.prefix([0, 2, 3, 6][whole])), "bit \(bit) of byte \(position)")
        switch marker {
        case .exact: Issue.record("opened")
        case .missing: try #require(whole == 2, "bit \(bit) of byte \(position): cut, though later batches are whole")
        case .afterFirst:
          // A header destroyed before one whole later group may be the same group's; a payload may not, its header says.
          try #require(whole == 2 || position < sample.ends[1] + BatchHeader.byteCount, "bit \(bit) of byte \(position)")
        }
      }
    }
  }

  @Test("a tail of zeros, as a file system may leave it, is cut")
  func zeroTail() async throws {
    let sample = try await Sample.make()
    for zeros in [1, 63, 64, 65, 4096] {
      let (events, left) = try sample.open(sample.bytes + Array(repeating: 0, count: zeros), .exact)
      #expect(events == sample.events)
      #expect(left == sample.bytes)
    }
  }

  @Test("a batch torn within a group is cut, though later ones of the same group are whole")
  func tornWithinGroup() async throws {
    let sample = try await Sample.make()
    var bytes = Array(sample.bytes.prefix(sample.ends[1]))
    let time = try BatchHeader(parsing: sample.bytes, at: 0).appendTime
    // Two more batches with one append time: written together.
    for range in [1, 2] {
      var batch = try ColumnBatch(encoded: Array(sample.bytes[sample.ends[range]..<sample.ends[range + 1]]))
      let later = Timestamp(nanoseconds: time.nanoseconds + 9)
      batch.place(partition: batch.partition, baseOffset: batch.baseOffset, appendTime: later)
      bytes += batch.encoded
    }
    for position in sample.ends[1]..<sample.ends[2] {
      var torn = bytes
      torn[position] ^= 0xFF
      let (events, left) = try sample.open(torn, .afterFirst)
      try #require(events == Array(sample.events.prefix(2)), "byte \(position)")
      try #require(left.count == sample.ends[1])
    }
  }

  @Test("a marker with any bit flipped is not believed, and written anew")
  func markerFlips() async throws {
    let sample = try await Sample.make()
    for position in 0..<FixedRecord.byteCount {
      for bit in 0..<8 {
        var damaged = sample
        damaged.marker[position] ^= 1 << UInt8(bit)
        let (events, _) = try damaged.open(sample.bytes, .exact)
        try #require(events == sample.events, "bit \(bit) of byte \(position)")
      }
    }
  }

  /// A log of several segments with sources in each, for damage to what lies beside them.
  static func segmented() async throws -> (FaultyFileSystem, LogConfiguration, [Event]) {
    let files = FaultyFileSystem()
    let configuration = testConfiguration(segmentBytesMax: 1200)
    let log = try await openLog(files, configuration)
    for at in 0..<12 { _ = try await log.append(batch(1...5, of: "source/\(at)")) }
    _ = try await log.append(batch([event("x", id: "a"), event("x", id: "b")]))
    let events = try await readAll(log)
    #expect(log.status()[0].segments >= 4)
    await log.close()
    return (files, configuration, events)
  }

  /// Everything of `source/0` ... `source/11` and ids must be duplicates; nothing new may be refused.
  static func checkExactlyOnce(_ log: SegmentedLog, _ note: Comment) async throws {
    for at in 0..<12 {
      let receipt = try await log.append(batch(3...5, of: "source/\(at)"))
      try #require(receipt.exceptions.map(\.reason) == [.duplicate, .duplicate, .duplicate], note)
    }
    let receipt = try await log.append(batch([event("x", id: "b"), event("x", id: "c")]))
    try #require(receipt.exceptions == [.init(row: 0, reason: .duplicate)], note)
  }

  @Test("a damaged or missing producer snapshot, or all of them, is made good from the segments")
  func snapshots() async throws {
    let (files, configuration, events) = try await DamageTests.segmented()
    let snapshots = files.paths.filter { $0.hasSuffix(".producers") }.sorted()
    #expect(snapshots.count == 2)
    let newest = try #require(snapshots.last)
    let original = try #require(files.contents(newest))
    var damages: [[String: [UInt8]?]] = [[newest: nil], Dictionary(uniqueKeysWithValues: snapshots.map { ($0, nil) })]
    for position in stride(from: 0, to: original.count, by: 11) {
      var bytes = original
      bytes[position] ^= 0x10
      damages.append([newest: bytes])
    }
    for length in stride(from: 0, to: original.count, by: 31) { damages.append([newest: Array(original.prefix(length))]) }
    for (number, damage) in damages.enumerated() {
      let copy = files.afterCrash(.kill, seed: 0)
      for (path, bytes) in damage { if let bytes { copy.set(path, bytes) } else { copy.delete(path) } }
      let log = try await openLog(copy, configuration)
      try #require(log.status()[0].state == .open, "damage \(number)")
      try #require(log.reports[0].sealedSegmentsScanned > 0, "damage \(number)")
      try #require(try await readAll(log) == events)
      try await DamageTests.checkExactlyOnce(log, "damage \(number)")
      await log.close()
      // The next start finds a good one again.
      let again = try await openLog(copy, configuration)
      try #require(again.reports[0].sealedSegmentsScanned == 0, "damage \(number)")
      await again.close()
    }
  }

  @Test("a damaged or missing index is rebuilt, and reads are right")
  func indexes() async throws {
    let (files, configuration, events) = try await DamageTests.segmented()
    let index = try #require(files.paths.first { $0.hasSuffix(".index") })
    let original = try #require(files.contents(index))
    for position in -1..<original.count {
      let copy = files.afterCrash(.kill, seed: 0)
      if position < 0 {
        copy.delete(index)
      } else {
        copy.set(index, original.enumerated().map { $0.offset == position ? $0.element ^ 0x40 : $0.element })
      }
      let log = try await openLog(copy, configuration)
      try #require(try await readAll(log, bytesMax: 1) == events, "byte \(position)")
      try #require(copy.contents(index) == original, "byte \(position)")
      await log.close()
    }
  }

  @Test("a sealed segment that is missing, short, or damaged is refused, or its read is")
  func sealed() async throws {
    let (files, configuration, _) = try await DamageTests.segmented()
    let segments = files.paths.filter { $0.hasSuffix(".segment") }.sorted()
    let second = segments[1]
    let original = try #require(files.contents(second))
    var damages: [[UInt8]?] = [nil, Array(original.dropLast()), [], original + [0]]
    for position in stride(from: 0, to: original.count, by: 5) {
      damages.append(original.enumerated().map { $0.offset == position ? $0.element ^ 1 : $0.element })
    }
    for (number, damage) in damages.enumerated() {
      let copy = files.afterCrash(.kill, seed: 0)
      if let damage { copy.set(second, damage) } else { copy.delete(second) }
      let log = try await openLog(copy, configuration)
      if number < 4 {
        guard case .failed(let error) = log.status()[0].state else { Issue.record("damage \(number) opened"); continue }
        #expect(error.code == .corrupt)
        await #expect(throws: error) { try await log.append(batch(1...1)) }
      } else {
        await #expect(throws: LogError.self, "damage \(number)") { try await readAll(log) }
      }
      await log.close()
    }
  }

  @Test("a missing active segment is refused")
  func missingActive() async throws {
    let (files, configuration, _) = try await DamageTests.segmented()
    let active = try #require(files.paths.filter { $0.hasSuffix(".segment") }.max())
    files.delete(active)
    let log = try await openLog(files, configuration)
    guard case .failed(let error) = log.status()[0].state else { Issue.record("opened"); return }
    #expect(error.code == .corrupt)
  }
}

extension BatchHeader {
  init(parsing bytes: [UInt8], at position: Int) throws {
    self = try bytes.withUnsafeBytes { try BatchHeader(parsing: UnsafeRawBufferPointer(rebasing: $0[position...])) }
  }
}
