import Events
import TestSupport
import Testing

@testable import Log

/// Files that are gone from a log's folder are noticed while the log runs, and when it is opened.
@Suite("Files of a log that are lost")
struct LostFilesTests {
  private static let root = "/data/log"

  // MARK: under a running server

  /// Harm that an operator, a script or a sync tool may do to a folder in use.
  enum Harm: CaseIterable {
    case lock, meta, active, marker, sealed, replaced, truncated

    func `do`(_ files: FaultyFileSystem) throws {
      let segments = files.paths.filter { $0.hasPrefix("\(root)/1/") && $0.hasSuffix(".segment") }.sorted()
      let active = try #require(segments.last)
      switch self {
      case .lock: files.with { _ = $0.locked.remove("\(root)/lock") }
      case .meta: files.delete("\(root)/meta")
      case .active: files.delete(active)
      case .marker: files.delete("\(root)/1/high-watermark")
      case .sealed: files.delete(segments[0])
      case .replaced: files.set(active, try #require(files.contents(active)))
      case .truncated: try files.open(active, .readWrite).truncate(to: 10)
      }
    }
  }

  @Test("of a running log, they keep it from acknowledging anything more, and it says what to do", arguments: Harm.allCases)
  func harm(_ harm: Harm) async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files, testConfiguration(partitions: 2, segmentBytesMax: 1200))
    for at in 0..<12 { _ = try await log.append(batch(1...5, of: "source/\(at)", partition: 1)) }
    await log.watchFiles()
    #expect(log.status().allSatisfy { $0.state == .open }, "nothing is wrong yet")
    try harm.do(files)
    await log.watchFiles()
    let error = await #expect(throws: LogError.self) { try await log.append(batch(6...6, of: "source/0", partition: 1)) }
    #expect(error?.code == .poisoned && error?.detail.contains("Stop the server") == true, "\(String(describing: error))")
    guard case .refusing(let shown) = log.status()[1].state else {
      Issue.record("the partition looks open")
      return
    }
    #expect(shown == error)
    // The other partition's files are as they were.
    let other = try? await log.append(batch(1...1, of: "other", partition: 0))
    #expect((other == nil) == (harm == .lock || harm == .meta))
    await log.close()
  }

  @Test("a removed folder is noticed at a roll too, before anything goes into the next segment")
  func roll() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files, testConfiguration(segmentBytesMax: 1200))
    _ = try await log.append(batch(1...5, of: "a"))
    try Harm.active.do2(files)
    var failure: LogError?
    for at in 0..<12 where failure == nil {
      do throws(LogError) { _ = try await log.append(batch(1...5, of: "source/\(at)")) } catch { failure = error }
    }
    #expect(failure?.code == .poisoned && failure?.detail.contains("is gone") == true)
    await log.close()
  }

  @Test(
    "the folder removed under a real log: nothing is acknowledged after the next look, and the folder's successor is another log")
  func removedForReal() async throws {
    let directory = try temporaryDirectory()
    defer { removeRecursively(directory) }
    let configuration = LogConfiguration(directory: directory)
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    _ = try await log.append(batch(1...5))
    removeRecursively(directory + "/log")
    await log.watchFiles()
    await #expect(throws: LogError.self) { try await log.append(batch(6...6)) }
    await log.close()
    let next = try await SegmentedLog.open(configuration, logger: quiet)
    #expect(!next.identity.isSameLog(as: log.identity))
    await next.close()
  }

  // MARK: when it is opened

  /// A log of two partitions, each of several segments, as a clean stop or a kill leaves it.
  private func stored(_ crash: FaultyFileSystem.Crash?) async throws -> (FaultyFileSystem, LogConfiguration, LogIdentity) {
    let (files, configuration) = (FaultyFileSystem(), testConfiguration(partitions: 2, segmentBytesMax: 1200))
    let log = try await openLog(files, configuration)
    for at in 0..<12 {
      for partition in 0..<2 { _ = try await log.append(batch(1...5, of: "source/\(at)", partition: partition)) }
    }
    let identity = log.identity
    guard let crash else {
      await log.close()
      return (files, configuration, identity)
    }
    let left = files.afterCrash(crash, seed: 1)
    await log.close()
    return (left, configuration, identity)
  }

  private static func remove(_ files: FaultyFileSystem, _ isGone: (String) -> Bool) {
    for path in files.paths where path.hasPrefix("\(root)/1/") && isGone(path) { files.delete(path) }
  }

  private static func removeFolder(_ files: FaultyFileSystem) {
    remove(files) { _ in true }
    files.with { state in
      state.directories.remove("\(root)/1")
      state.durableDirectories.remove("\(root)/1")
    }
  }

  /// Parts that a copy may lack.
  enum Loss: CaseIterable {
    case folder, allFiles, allSegments, firstSegment, middleSegment, lastSegment, lastSegmentAndMarker

    func `do`(_ files: FaultyFileSystem) {
      let segments = files.paths.filter { $0.hasPrefix("\(root)/1/") && $0.hasSuffix(".segment") }.sorted()
      switch self {
      case .folder: LostFilesTests.removeFolder(files)
      case .allFiles: LostFilesTests.remove(files) { _ in true }
      case .allSegments: LostFilesTests.remove(files) { $0.hasSuffix(".segment") || $0.hasSuffix("watermark") }
      case .firstSegment: files.delete(segments[0])
      case .middleSegment: files.delete(segments[1])
      case .lastSegment: files.delete(segments[segments.count - 1])
      case .lastSegmentAndMarker: LostFilesTests.remove(files) { $0 == segments.last || $0.hasSuffix("watermark") }
      }
    }
  }

  @Test(
    "missing from a copy, they keep the partition from opening; verify and list tell, and repair goes on without them",
    arguments: Loss.allCases, [nil, .kill, .dropAll] as [FaultyFileSystem.Crash?])
  func missing(_ loss: Loss, _ crash: FaultyFileSystem.Crash?) async throws {
    let (files, configuration, identity) = try await stored(crash)
    loss.do(files)
    let log = try await openLog(files, configuration)
    #expect(log.status()[0].state == .open && log.identity == identity)
    guard case .failed(let error) = log.status()[1].state else {
      Issue.record("it opened without \(loss)")
      return
    }
    #expect(error.code == .corrupt && error.detail.contains("penstock log repair"), "\(error)")
    await #expect(throws: LogError.self) { try await log.append(batch(1...5, of: "source/0", partition: 1)) }
    await log.close()

    let stored = try StoredLog(directory: "/data", fileSystem: files)
    #expect(try !stored.verify(PartitionID(1)).findings.isEmpty && stored.verify(PartitionID(0)).findings.isEmpty)
    #expect(throws: LogError.self) { try stored.partition(PartitionID(1)) }

    let isWhole = [.folder, .allFiles, .allSegments].contains(loss)
    do {
      let repair = try LogRepair(stored)
      if isWhole {
        let refused = #expect(throws: LogError.self) { try repair.plan(PartitionID(1)) }
        #expect(refused?.detail.contains("--accept-loss") == true, "\(String(describing: refused))")
      }
      #expect(try repair.plan(PartitionID(0)) == nil)
      let plan = try #require(try repair.plan(PartitionID(1), acceptsLoss: isWhole))
      _ = try repair.apply(plan, name: "test")
      #expect(try repair.plan(PartitionID(1)) == nil)
    }
    let again = try await openLog(files, configuration)
    try #require(again.status()[1].state == .open, "\(again.status()[1].state)")
    #expect(again.identity == identity.next, "whoever knows its offsets must learn of the loss")
    let kept = try await readAll(again, 1)
    #expect(isWhole ? kept.isEmpty : !kept.isEmpty && kept.count < 60)
    _ = try await again.append(batch(1...5, of: "new", partition: 1))
    await again.close()
    #expect(try StoredLog(directory: "/data", fileSystem: files).verify(PartitionID(1)).findings == [])
  }

  @Test(
    "indexes and producer snapshots that are missing are made anew: nothing is forgotten", arguments: [".index", ".producers"])
  func rebuilt(suffix: String) async throws {
    let (files, configuration, _) = try await stored(nil)
    Self.remove(files) { $0.hasSuffix(suffix) }
    let log = try await openLog(files, configuration)
    try #require(log.status()[1].state == .open)
    for at in 0..<12 {
      #expect(try await log.append(batch(1...5, of: "source/\(at)", partition: 1)).exceptions.count == 5)
    }
    await log.close()
  }

  @Test("a tail cut off where the log is known to have reached is refused, with or without the marker", arguments: [true, false])
  func tail(hasMarker: Bool) async throws {
    let (files, configuration, _) = try await stored(nil)
    let active = try #require(files.paths.filter { $0.hasPrefix("\(Self.root)/1/") && $0.hasSuffix(".segment") }.sorted().last)
    files.set(active, [])
    if !hasMarker { files.delete("\(Self.root)/1/high-watermark") }
    let log = try await openLog(files, configuration)
    guard case .failed(let error) = log.status()[1].state else {
      Issue.record("it opened")
      return
    }
    #expect(error.code == .corrupt)
    await log.close()
  }

  // MARK: meta

  @Test("without its meta file a log is refused; repair writes a new one for the right number of partitions only, for a new log")
  func meta() async throws {
    let files = FaultyFileSystem()
    let configuration = testConfiguration(partitions: 4)
    let log = try await openLog(files, configuration)
    for at in 0..<20 {
      let source = "source/\(at)"
      _ = try await log.append(batch(1...2, of: source, partition: log.partition(of: source).index))
    }
    await log.close()
    files.delete("\(Self.root)/meta")
    let refused = await #expect(throws: LogError.self) { try await openLog(files, configuration) }
    #expect(refused?.code == .corrupt && refused?.detail.contains("--partitions") == true)
    #expect(throws: LogError.self) { try StoredLog(directory: "/data", fileSystem: files) }
    do {
      let repair = try MetaRepair(directory: "/data", fileSystem: files)
      #expect(!repair.isWhole)
      for wrong in [1, 3, 5, 8] { #expect(throws: LogError.self, "\(wrong)") { try repair.write(partitionCount: wrong) } }
      #expect(files.contents("\(Self.root)/meta") == nil)
      #expect(try repair.write(partitionCount: 4) != log.identity)
    }
    let again = try await openLog(files, configuration)
    #expect(again.status().allSatisfy { $0.state == .open } && again.identity != log.identity)
    for at in 0..<20 {
      let source = "source/\(at)"
      #expect(try await again.append(batch(1...2, of: source, partition: log.partition(of: source).index)).exceptions.count == 2)
    }
    await again.close()
  }

  @Test("a log of an earlier version, whose meta says only how many partitions there are, gets an identity at its first start")
  func migration() async throws {
    let (files, configuration, _) = try await stored(nil)
    files.set("\(Self.root)/meta", LogMeta(partitionCount: 2, identity: nil).encoded())
    let log = try await openLog(files, configuration)
    #expect(log.status().allSatisfy { $0.state == .open })
    await log.close()
    let again = try await openLog(files, configuration)
    #expect(again.identity == log.identity)
    await again.close()
    // A partition that went missing with the earlier version's log is missed too.
    files.set("\(Self.root)/meta", LogMeta(partitionCount: 2, identity: nil).encoded())
    Self.removeFolder(files)
    for _ in 0..<2 {
      let short = try await openLog(files, configuration)
      guard case .failed = short.status()[1].state else {
        Issue.record("it opened")
        return
      }
      await short.close()
    }
  }

  @Test("a log keeps its number of partitions unless another was asked for")
  func count() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files, testConfiguration(partitions: 3))
    await log.close()
    var configuration = testConfiguration(partitions: 8)
    let refused = await #expect(throws: LogError.self) { try await openLog(files, configuration) }
    #expect(refused?.code == .incompatible && refused?.detail.contains("made with 3 partitions") == true)
    configuration.isPartitionCountFixed = false
    let again = try await openLog(files, configuration)
    #expect(again.partitionCount == 3 && again.status().count == 3 && again.identity == log.identity)
    await again.close()
  }
}

extension LostFilesTests.Harm {
  /// As `do`, in the only partition.
  fileprivate func do2(_ files: FaultyFileSystem) throws {
    files.delete(try #require(files.paths.last { $0.hasSuffix(".segment") }))
  }
}
