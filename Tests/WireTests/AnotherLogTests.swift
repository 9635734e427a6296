import Events
import LogTestSupport
import TestSupport
import Testing

@testable import Log
@testable import Wire

/// A second log answers in the first one's place, as when the first is killed for a while and both have one name.
@Suite("Another log in a log's place")
struct AnotherLogTests {
  private func serve(_ directory: TemporaryDirectory) async throws -> ServedLog {
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 1
    return try await ServedLog(configuration)
  }

  @Test("is given nothing and believed nothing; what waits goes to the first one once it is back")
  func secondLog() async throws {
    let (here, there) = (try TemporaryDirectory(), try TemporaryDirectory())
    let (first, second) = (try await serve(here), try await serve(there))
    let partition = PartitionID(0)
    let log = try await RemoteLog.connect(first.client, configuration: .init(patience: .zero), logger: quiet)
    #expect(await log.identity == first.storage.identity && log.replacement == nil)
    _ = try await log.append(ColumnBatch(events: [event("s", value: 1)], partition: partition))

    let instance = await first.instance
    first.dialler.set([await second.instance])
    first.dialler.cutConnections()
    let waiting = Task { try await log.append(ColumnBatch(events: [event("s", value: 2)], partition: partition)) }
    let read = await #expect(throws: LogError.self) { try await log.read(partition, from: .zero, bytesMax: 1 << 20) }
    #expect(read?.code == .anotherLog, "\(String(describing: read))")
    let several = await log.readSome(from: OffsetVector([partition: .zero]), bytesMax: 1 << 20)
    #expect(throws: LogError.self) { try several[0].result.get() }
    #expect(log.replacement?.code == .anotherLog)
    #expect(await log.problem()?.contains("restart this process") == true)
    await #expect(throws: LogError.self) { try await log.reports.report(needs: OffsetVector([partition: Offset(1)])) }
    #expect(try await second.storage.bounds(of: partition).highWatermark == .zero)

    first.dialler.set([instance])
    first.dialler.cutConnections()
    #expect(try await waiting.value.baseOffset == Offset(1))
    #expect(try await readAll(log, partition).map(\.data) == [.int(1), .int(2)])
    #expect(log.replacement == nil)
    #expect(await log.problem() == nil)
    #expect(try await second.storage.bounds(of: partition).highWatermark == .zero)
    await log.close()
    await second.stop()
    await first.stop()
  }

  @Test("a request for another log is refused by whoever is asked; one that names none is answered, and told which it is")
  func named() async throws {
    let directory = try TemporaryDirectory()
    let served = try await serve(directory)
    let peer = try #require(served.dialler.peers().peers.first)
    var request = WireRequest(.GET, "/v1/log/partitions/0")
    let identity = await served.storage.identity
    for name in [nil, identity.description] {
      request.log = name
      let answer = try await served.client.send(request, to: peer, within: .seconds(10))
      #expect(answer.status == 200 && answer.headers[WireVersion.logHeader.lowercased()] == identity.description)
    }
    for name in [identity.next.description, LogIdentity.random().description, "", "x"] {
      request.log = name
      let answer = try await served.client.send(request, to: peer, within: .seconds(10))
      #expect(answer.status == 409 && LogError(answer, partition: nil).code == .anotherLog, "\(name)")
      #expect(answer.headers[WireVersion.logHeader.lowercased()] == identity.description)
    }
    await served.stop()
  }

  @Test("an identity reads back as it was written, and nothing else does")
  func identity() {
    for _ in 0..<100 {
      let identity = LogIdentity.random()
      #expect(LogIdentity(parsing: identity.description) == identity)
      #expect(LogIdentity(parsing: identity.next.description)?.epoch == 2 && identity.next.isSameLog(as: identity))
    }
    let zeros = String(repeating: "0", count: 32)
    for text in [
      "", "x", "\(zeros)-1", "\(zeros.dropLast())1-0", "\(zeros.dropLast())1", "\(zeros.dropLast())1-+1",
      "\(zeros.dropLast())1-4294967296",
    ] {
      #expect(LogIdentity(parsing: text) == nil, "\(text)")
    }
  }
}
