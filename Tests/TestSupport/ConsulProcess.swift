import Foundation
import Synchronization

public struct ConsulProcessError: Error, CustomStringConvertible {
  public var description: String
}

/// A Consul agent of its own, in development mode, on free loopback ports, with the sidecars a test wants. All end with it.
///
/// The executable is the one `PENSTOCK_CONSUL` names, else one on the PATH; `ops/test` fetches one and sets the variable.
public final class ConsulProcess: Sendable {
  public let httpPort: Int
  /// The management token, where ACLs are on.
  public let token: String?
  private let executable: URL
  private let folder: URL
  private let agent: Mutex<Process?>
  private let sidecars = Mutex<[String: Process]>([:])

  private init(executable: URL, folder: URL, httpPort: Int, token: String?, agent: Process) {
    self.executable = executable
    self.folder = folder
    self.httpPort = httpPort
    self.token = token
    self.agent = Mutex(agent)
  }

  deinit {
    for sidecar in sidecars.withLock({ $0.values }) where sidecar.isRunning {
      Foundation.kill(sidecar.processIdentifier, SIGKILL)
    }
    if let agent = agent.withLock({ $0 }), agent.isRunning { Foundation.kill(agent.processIdentifier, SIGKILL) }
    do { try FileManager.default.removeItem(at: folder) } catch {
      FileHandle.standardError.write(Data("left: \(folder.path)\n".utf8))
    }
  }

  public static func find() throws -> URL {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["PENSTOCK_CONSUL"] { return URL(fileURLWithPath: path) }
    for folder in (environment["PATH"] ?? "").split(separator: ":") {
      let candidate = URL(fileURLWithPath: String(folder)).appendingPathComponent("consul")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
    }
    throw ConsulProcessError(description: "no Consul: run the tests by ops/test, or set PENSTOCK_CONSUL to its executable")
  }

  /// Returns once the agent has a leader: itself.
  /// - Parameter acls: Whether nothing is allowed without a token.
  public static func start(acls: Bool = false) async throws -> ConsulProcess {
    let executable = try find()
    // A port may be another's by the time that it is bound: then with others.
    for _ in 0..<2 {
      do { return try await start(executable, acls: acls) } catch is ConsulProcessError { continue }
    }
    return try await start(executable, acls: acls)
  }

  private static func start(_ executable: URL, acls: Bool) async throws -> ConsulProcess {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-consul-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let ports = try freePorts(3)
    let token = acls ? UUID().uuidString.lowercased() : nil
    // The token's key is called `initial_management` since 1.11, and the old one still read.
    let config = """
      ports { http = \(ports[0]) server = \(ports[1]) serf_lan = \(ports[2]) serf_wan = -1 dns = -1 grpc = -1 https = -1 }
      limits { http_max_conns_per_client = 2000 }
      \(token.map { "acl { enabled = true default_policy = \"deny\" tokens { master = \"\($0)\" } }" } ?? "")
      """
    let file = folder.appendingPathComponent("agent.hcl")
    try config.write(to: file, atomically: true, encoding: .utf8)
    let agent = try launch(
      executable,
      ["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=test", "-log-level=warn", "-config-file=\(file.path)"],
      output: folder.appendingPathComponent("agent.log"))
    let consul = ConsulProcess(executable: executable, folder: folder, httpPort: ports[0], token: token, agent: agent)
    let end = ContinuousClock.now + .seconds(60)
    while true {
      // Writing needs a leader, so that this is the last thing to work.
      if await consul.succeeds(["kv", "put", "test/up"]) { return consul }
      guard ContinuousClock.now < end, agent.isRunning else {
        throw ConsulProcessError(description: "the agent did not start:\n\(consul.log)")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  public var log: String {
    (try? String(contentsOf: folder.appendingPathComponent("agent.log"), encoding: .utf8)) ?? "(no log)"
  }

  /// Runs the built-in proxy beside a registered instance.
  public func startSidecar(for id: String, tokenFile: String? = nil) throws {
    let process = try ConsulProcess.launch(
      executable,
      ["connect", "proxy", "-sidecar-for", id, "-http-addr=127.0.0.1:\(httpPort)"]
        + (tokenFile.map { ["-token-file=\($0)"] } ?? []),
      output: folder.appendingPathComponent("sidecar-\(id).log"))
    sidecars.withLock { $0[id] = process }
  }

  public func killSidecar(of id: String) {
    if let process = sidecars.withLock({ $0.removeValue(forKey: id) }) { Foundation.kill(process.processIdentifier, SIGKILL) }
  }

  /// Runs a command of Consul's against the agent.
  /// - Throws: If it ends with another code than 0.
  @discardableResult
  public func run(_ arguments: [String]) async throws -> String {
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["CONSUL_HTTP_ADDR": "127.0.0.1:\(httpPort)", "CONSUL_HTTP_TOKEN": token ?? ""]
    ) { $1 }
    let pipe = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = pipe
    process.standardError = pipe
    let text = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String, any Error>) in
      process.terminationHandler = { _ in
        // The output of these commands fits into a pipe.
        continuation.resume(returning: String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self))
      }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
    guard process.terminationStatus == 0 else {
      throw ConsulProcessError(description: "consul \(arguments.joined(separator: " ")): \(text)")
    }
    return text
  }

  private func succeeds(_ arguments: [String]) async -> Bool {
    do {
      try await run(arguments)
      return true
    } catch {
      return false
    }
  }

  private static func launch(_ executable: URL, _ arguments: [String], output: URL) throws -> Process {
    _ = FileManager.default.createFile(atPath: output.path, contents: nil)
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments
    let file = try FileHandle(forWritingTo: output)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = file
    process.standardError = file
    try process.run()
    return process
  }
}

/// The ports given by `freePorts`.
private let givenPorts = Mutex<Set<Int>>([])

/// Ports of loopback on which nobody listens now, and which this process has not given before.
///
/// They lie below those that the system gives to clients (Linux: from 32768 on) and to whoever binds port 0: such a port may be
/// another's by the time it is bound.
public func freePorts(_ count: Int) throws -> [Int] {
  var ports: [Int] = []
  for _ in 0..<1000 where ports.count < count {
    let port = Int.random(in: 10_000..<23_000)
    guard givenPorts.withLock({ $0.insert(port).inserted }), try isFree(port) else { continue }
    ports.append(port)
  }
  guard ports.count == count else { throw ConsulProcessError(description: "no free port") }
  return ports
}

private func isFree(_ port: Int) throws -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { throw ConsulProcessError(description: "no socket") }
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
}
