import Compute
import Events
import Foundation
import Log
import SQLite
import TestSupport
import Testing
import Views

/// Views are computed anew from the log, or refused with a message, when a worker's file is damaged; they are never
/// wrong.
@Suite("Damaged checkpoints")
struct CheckpointDamageTests {
  private struct Given {
    let fixture: ComputeFixture
    let end: OffsetVector
    let rows: [Row]
    var file: String { path(0) }

    func path(_ worker: Int) -> String { "\(fixture.directory)/compute/\(worker)/state.sqlite" }
  }

  /// A log, and views of it checkpointed by two workers.
  private func given() async throws -> Given {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 1, count: 600)) { 50 }
    let service = try await fixture.start(ComputeServiceTests.views)
    let rows = try await fixture.rows(service, "readings", after: end)
    try #require(!rows.isEmpty)
    await service.shutDown()
    return Given(fixture: fixture, end: end, rows: rows)
  }

  /// Starts compute over what is there now.
  /// - Returns: Whether it gave the right rows; false when it refused, saying why. Wrong rows fail the test.
  private func isRight(_ given: Given, _ what: Comment) async throws -> Bool {
    let service: ComputeService
    do {
      service = try await given.fixture.start(ComputeServiceTests.views)
    } catch let error as ComputeError {
      #expect(!error.detail.isEmpty, what)
      return false
    }
    defer { Task { await service.shutDown() } }
    do {
      let rows = try await given.fixture.rows(service, "readings", after: given.end)
      try #require(rows == given.rows, what)
      await service.shutDown()
      return true
    } catch let error as ViewStoreError {
      #expect(!error.description.isEmpty, what)
      await service.shutDown()
      return false
    }
  }

  @Test("a file cut at any length is begun anew, or refused", arguments: [0.0, 0.02, 0.3, 0.5, 0.9, 0.999])
  func cut(part: Double) async throws {
    let given = try await given()
    let bytes = try Data(contentsOf: URL(filePath: given.file))
    try bytes.prefix(Int(Double(bytes.count) * part)).write(to: URL(filePath: given.file))
    let right = try await isRight(given, "cut to \(part)")
    if part == 0 { #expect(right) }
    try await given.fixture.remove()
  }

  @Test(
    "a file with zeros in place of some pages, or of all, is begun anew, or refused",
    arguments: [0..<1, 1..<2, 2..<5, 0..<10_000])
  func zeroed(pages: Range<Int>) async throws {
    let given = try await given()
    var bytes = try Data(contentsOf: URL(filePath: given.file))
    let range = min(pages.lowerBound * 4096, bytes.count)..<min(pages.upperBound * 4096, bytes.count)
    bytes.replaceSubrange(range, with: Data(count: range.count))
    try bytes.write(to: URL(filePath: given.file))
    let right = try await isRight(given, "zeroed \(pages)")
    if pages.lowerBound == 0 { #expect(right, "a file that is no database is put aside") }
    try await given.fixture.remove()
  }

  @Test("files of other workers, exchanged or copied, give the same rows")
  func exchanged() async throws {
    let given = try await given()
    let files = FileManager.default
    try files.moveItem(atPath: given.path(0), toPath: given.path(0) + ".x")
    try files.moveItem(atPath: given.path(1), toPath: given.path(0))
    try files.moveItem(atPath: given.path(0) + ".x", toPath: given.path(1))
    #expect(try await isRight(given, "exchanged"))
    try files.removeItem(atPath: given.path(1))
    try files.copyItem(atPath: given.path(0), toPath: given.path(1))
    #expect(try await isRight(given, "copied"))
    try await given.fixture.remove()
  }

  @Test("a file of a newer version is refused")
  func newer() async throws {
    let given = try await given()
    do {
      let db = try SQLiteConnection(path: given.file)
      try db.run("UPDATE meta SET value = 999 WHERE name = 'format'")
    }
    let error = await #expect(throws: ComputeError.self) { try await given.fixture.start(ComputeServiceTests.views) }
    #expect(error?.code == .incompatible && error?.detail.contains("999") == true)
    try await given.fixture.remove()
  }

  @Test("a checkpoint of another log is refused, and says so")
  func ahead() async throws {
    let given = try await given()
    await given.fixture.log.close()
    try FileManager.default.removeItem(atPath: given.fixture.directory + "/log")
    let other = try await SegmentedLog.open(
      {
        var configuration = LogConfiguration(directory: given.fixture.directory)
        configuration.partitions = 3
        return configuration
      }(), logger: ComputeFixture.logger)
    func problem() async throws -> String? {
      let service = try await ComputeService(
        configuration: ComputeConfiguration(
          directory: given.fixture.directory + "/compute", workers: 2, checkpointInterval: .milliseconds(5), changedRowsMax: 1000,
          readBytesMax: 4096),
        catalog: try ViewCatalog(yaml: ComputeServiceTests.views, file: "test.yaml"), log: other, logger: ComputeFixture.logger)
      service.start()
      let problem = await service.problem()
      await service.shutDown()
      return problem
    }
    #expect(try await problem()?.contains("another log") == true)
    // A state of before logs had identities says by its offsets alone that it is ahead.
    for worker in 0..<2 {
      let db = try SQLiteConnection(path: given.fixture.directory + "/compute/\(worker)/state.sqlite")
      try db.run("DELETE FROM meta WHERE name LIKE 'log_%'")
    }
    #expect(try await problem()?.contains("log ends at 0") == true)
    await other.close()
    try FileManager.default.removeItem(atPath: given.fixture.directory)
  }
}
