import Events
import Logging
import TestSupport
import Testing

@testable import Log

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The record of views: what is acknowledged is there, in order, after any crash; what is damaged says so.
@Suite("Record of views")
struct ViewsRecordTests {
  private static func entry(_ number: Int, random: inout SeededGenerator) -> [UInt8] {
    (0..<Int.random(in: 1...200, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) } + [
      UInt8(truncatingIfNeeded: number)
    ]
  }

  private static func folder() throws -> (directory: TemporaryDirectory, root: String, path: String) {
    let directory = try TemporaryDirectory()
    let root = directory.path + "/log"
    _ = try PosixFileSystem().createDirectory(root)
    return (directory, root, root + "/penstock.views")
  }

  private static func all(_ record: ViewsRecordFile) async throws -> [[UInt8]] {
    var entries: [[UInt8]] = []
    while case let more = try await record.entries(from: entries.count, bytesMax: 300), !more.isEmpty { entries += more }
    return entries
  }

  @Test("entries are read back in order, after a restart too; a number is taken once")
  func appends() async throws {
    let (directory, _, _) = try Self.folder()
    var random = SeededGenerator(seed: 1)
    var record = try ViewsRecordFile(directory: directory.path)
    #expect(try await Self.all(record) == [] && ViewsRecordFile.check(directory: directory.path) == nil)
    var expected: [[UInt8]] = []
    for number in 0..<50 {
      let entry = Self.entry(number, random: &random)
      #expect(try await record.append(entry, as: number + 1) == false)
      #expect(try await record.append(entry, as: number))
      // An answer was lost: it is asked again.
      #expect(try await record.append(entry, as: number))
      #expect(try await record.append([7], as: number) == false)
      expected.append(entry)
      if number % 7 == 0 { record = try ViewsRecordFile(directory: directory.path) }
    }
    #expect(try await Self.all(record) == expected)
    #expect(try ViewsRecordFile.check(directory: directory.path)?.entries == 50)
    await #expect(throws: LogError.self) { try await record.entries(from: 51, bytesMax: 1) }
  }

  @Test("a file that ends anywhere within its last entry loses that entry alone, and goes on", arguments: [11, 12] as [UInt64])
  func torn(seed: UInt64) async throws {
    let (directory, _, path) = try Self.folder()
    var random = SeededGenerator(seed: seed)
    let record = try ViewsRecordFile(directory: directory.path)
    let entries = (0..<3).map { Self.entry($0, random: &random) }
    for (number, entry) in entries.enumerated() { #expect(try await record.append(entry, as: number)) }
    let file = try PosixFileSystem().open(path, .readWrite)
    let whole = try file.readFull(try file.size(), at: 0)
    var ends: [Int] = [64]
    for entry in entries { ends.append(ends[ends.count - 1] + ViewsRecordFormat.length(of: entry.count)) }
    #expect(ends.last == whole.count)
    for size in 0...whole.count {
      try file.truncate(to: 0)
      try file.writeAll(Array(whole[..<size]), at: 0)
      let kept = ends.lastIndex { $0 <= size } ?? 0
      let again = try ViewsRecordFile(directory: directory.path)
      #expect(try await Self.all(again) == Array(entries[..<kept]), "seed \(seed), \(size) bytes")
      #expect(try await again.append([1, 2, 3], as: kept), "seed \(seed), \(size) bytes")
      #expect(
        try await Self.all(ViewsRecordFile(directory: directory.path)) == entries[..<kept] + [[1, 2, 3]],
        "seed \(seed), \(size) bytes")
    }
  }

  @Test("damage before a whole entry is refused with its place; at the end it is a torn tail", arguments: [21, 22] as [UInt64])
  func damaged(seed: UInt64) async throws {
    let (directory, _, path) = try Self.folder()
    var random = SeededGenerator(seed: seed)
    let record = try ViewsRecordFile(directory: directory.path)
    let entries = (0..<3).map { Self.entry($0, random: &random) }
    for (number, entry) in entries.enumerated() { #expect(try await record.append(entry, as: number)) }
    let file = try PosixFileSystem().open(path, .readWrite)
    let whole = try file.readFull(try file.size(), at: 0)
    let last = whole.count - ViewsRecordFormat.length(of: entries[2].count)
    for position in whole.indices {
      var bytes = whole
      bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      try file.writeAll(bytes, at: 0)
      do throws(LogError) {
        let entries = try ViewsRecordScan(file, path: path).positions.count
        // Fill bytes between entries hold nothing.
        #expect(position >= last && entries >= 2 || entries == 3, "seed \(seed), byte \(position)")
      } catch {
        #expect(
          position < last && (error.code == .corrupt || error.code == .incompatible), "seed \(seed), byte \(position): \(error)")
      }
    }
  }

  @Test(
    "whatever call fails, and wherever the process or the machine stops, what was acknowledged is there",
    arguments: 0..<200 as Range<UInt64>)
  func crashes(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    var files = FaultyFileSystem(seed: seed)
    for path in ["/data", "/data/log"] {
      _ = try files.createDirectory(path)
      try files.syncDirectory(FaultyFileSystem.parent(path))
    }
    var acknowledged: [[UInt8]] = []
    for round in 0..<6 {
      let fault: FaultyFileSystem.Fault = [.stop, .fail(ENOSPC), .fail(EIO)][Int.random(in: 0..<3, using: &random)]
      files.inject(fault, after: Int.random(in: 1...25, using: &random))
      if Bool.random(using: &random) { files.makeFlaky() }
      if let record = try? ViewsRecordFile(directory: "/data", fileSystem: files) {
        for _ in 0..<Int.random(in: 1...6, using: &random) {
          let entry = Self.entry(acknowledged.count, random: &random)
          if (try? await record.append(entry, as: acknowledged.count)) == true { acknowledged.append(entry) }
        }
      }
      files = files.afterCrash(
        FaultyFileSystem.Crash.allCases.randomElement(using: &random) ?? .kill, seed: seed &* 31 &+ UInt64(round))
      let found = try await Self.all(ViewsRecordFile(directory: "/data", fileSystem: files))
      #expect(Array(found.prefix(acknowledged.count)) == acknowledged, "seed \(seed), round \(round)")
      #expect(found.count <= acknowledged.count + 1, "seed \(seed), round \(round)")
      acknowledged = found
    }
  }

  @Test("a full disk is told, and takes more once there is room")
  func fullDisk() async throws {
    let files = FaultyFileSystem()
    for path in ["/data", "/data/log"] { _ = try files.createDirectory(path) }
    let record = try ViewsRecordFile(directory: "/data", fileSystem: files)
    #expect(try await record.append([1], as: 0))
    files.setDiskBytes(files.usedBytes + 10)
    let error = await #expect(throws: LogError.self) { try await record.append([2], as: 1) }
    #expect(error?.code == .diskFull)
    files.setDiskBytes(nil)
    #expect(try await record.append([3], as: 1))
    #expect(try await Self.all(ViewsRecordFile(directory: "/data", fileSystem: files)) == [[1], [3]])
  }

  @Test("who waits is woken by the next entry, by the end of the log, and when it is cancelled", .timeLimit(.minutes(1)))
  func waiting() async throws {
    let (directory, _, _) = try Self.folder()
    let record = try ViewsRecordFile(directory: directory.path)
    let first = Task { try await record.waitForEntry(past: 0) }
    let second = Task { try await record.waitForEntry(past: 1) }
    let third = Task { try await record.waitForEntry(past: 1) }
    #expect(try await record.append([1], as: 0))
    try await first.value
    second.cancel()
    try await second.value
    await record.close()
    await #expect(throws: LogError.self) { try await third.value }
  }
}
