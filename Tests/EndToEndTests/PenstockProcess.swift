import Foundation
import Synchronization

struct EndToEndError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// A folder with configuration and data, and the `penstock up` that runs on it: killed and started again as often as wanted, on
/// the same ports.
actor PenstockProcess {
  static let deadline = Duration.seconds(60)

  let folder: URL
  private(set) var ingestPort = 0
  private(set) var queryPort = 0
  private var process: Process?
  private var output: ListeningLines?
  /// The log's high watermarks as last seen, by partition; no crash takes any of it back.
  private var durable: [Int: Int] = [:]
  /// The offsets when this process started, where no device had sent by then.
  private var before: [Int: Int]?

  init(views: String) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try views.write(to: folder.appendingPathComponent("views.yaml"), atomically: true, encoding: .utf8)
  }

  deinit {
    if let process, process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    do {
      try FileManager.default.removeItem(at: folder)
    } catch {
      FileHandle.standardError.write(Data("left behind: \(folder.path): \(error)\n".utf8))
    }
  }

  /// The executable of the build that this test is of.
  private static func executable() throws -> URL {
    if let path = ProcessInfo.processInfo.environment["PENSTOCK_BIN"] { return URL(fileURLWithPath: path) }
    // Beside the test bundle.
    let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for folder in [bundle, bundle.deletingLastPathComponent()] {
      let candidate = folder.appendingPathComponent("penstock")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
    }
    throw EndToEndError("no penstock beside \(bundle.path); build it, or set PENSTOCK_BIN")
  }

  /// Starts the process without waiting for it.
  func launch() throws {
    precondition(process == nil, "started twice")
    // Checkpoints as often as there can be: a process that lives for half a second must have made some.
    let config = """
      compute: { checkpoint_interval: 10ms }
      ingest: { listen: 127.0.0.1:\(ingestPort) }
      query: { listen: 127.0.0.1:\(queryPort) }
      """
    let configFile = folder.appendingPathComponent("penstock.yaml")
    try config.write(to: configFile, atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = try PenstockProcess.executable()
    process.arguments = [
      "up", "--config", configFile.path, "--data", folder.appendingPathComponent("data").path, "--views",
      folder.appendingPathComponent("views.yaml").path,
    ]
    let pipe = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = pipe
    let lines = ListeningLines()
    pipe.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil }
      lines.add(data)
    }
    try process.run()
    self.process = process
    output = lines
  }

  /// Returns once both services accept connections.
  func waitUntilListening() async throws {
    guard let process, let output else { throw EndToEndError("not started") }
    let end = ContinuousClock.now + PenstockProcess.deadline
    while ContinuousClock.now < end {
      if let ingest = output.port(of: "ingest"), let query = output.port(of: "query") {
        (ingestPort, queryPort) = (ingest, query)
        return try await checkStart()
      }
      guard process.isRunning else {
        throw EndToEndError("penstock ended with \(process.terminationStatus):\n\(output.text)")
      }
      try await Task.sleep(for: .milliseconds(1))
    }
    throw EndToEndError("penstock is not listening after \(PenstockProcess.deadline):\n\(output.text)")
  }

  /// All durable events are there, and the sums add up, however the process before ended.
  private func checkStart() async throws {
    let ledger = try await QueryAPI(port: queryPort).ledger()
    guard ledger.differences.isEmpty else { throw EndToEndError("the ledger after a start: \(ledger.differences)") }
    for (partition, offset) in durable where ledger.highWatermarks[partition, default: 0] < offset {
      throw EndToEndError("partition \(partition) ended at \(offset) before the process did: \(ledger)")
    }
    durable = ledger.highWatermarks
    before = ledger.ingest.received == 0 ? durable : nil
  }

  /// Returns once all that came is settled: in the log what ingest appended, in every view what is in the log.
  private func checkEnd() async throws {
    let end = ContinuousClock.now + PenstockProcess.deadline
    while true {
      let ledger = try await QueryAPI(port: queryPort).ledger()
      guard ledger.differences.isEmpty else { throw EndToEndError("the ledger at the end: \(ledger.differences)") }
      let unsettled = ledger.unsettled(since: before)
      if unsettled.isEmpty { return }
      guard ContinuousClock.now < end else { throw EndToEndError("the ledger at the end: \(unsettled)") }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  func start() async throws {
    try launch()
    try await waitUntilListening()
  }

  /// Ends the process as a power cut would, as far as the process can tell.
  func kill() async throws {
    guard let process else { return }
    Foundation.kill(process.processIdentifier, SIGKILL)
    _ = try await ended()
  }

  /// Ends the process in order, once its ledger is settled and adds up.
  /// - Returns: The exit code.
  func terminate() async throws -> Int32 {
    guard let process else { return 0 }
    try await checkEnd()
    process.terminate()
    return try await ended()
  }

  private func ended() async throws -> Int32 {
    guard let process else { return 0 }
    let end = ContinuousClock.now + PenstockProcess.deadline
    while process.isRunning {
      guard ContinuousClock.now < end else { throw EndToEndError("penstock does not end:\n\(output?.text ?? "")") }
      try await Task.sleep(for: .milliseconds(1))
    }
    self.process = nil
    return process.terminationStatus
  }

  var log: String { output?.text ?? "" }
}

/// The process's lines on standard error.
private final class ListeningLines: Sendable {
  private let bytes = Mutex(Data())

  func add(_ data: Data) { bytes.withLock { $0.append(data) } }

  var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }

  /// The port in a whole line `listening NAME ADDRESS:PORT`.
  func port(of name: String) -> Int? {
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      let words = line.split(separator: " ")
      if words.count == 3, words[0] == "listening", words[1] == name {
        return words[2].split(separator: ":").last.flatMap { Int($0) }
      }
    }
    return nil
  }
}
