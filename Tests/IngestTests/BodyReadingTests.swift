import Dispatch
import Events
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import Testing

@testable import Ingest

/// Threads for bodies, held until the test lets them go.
private struct HeldThreads {
  let threads = AnswerThreads(label: "test.body", threads: 1)
  private let gate = DispatchSemaphore(value: 0)

  init() {
    let gate = gate
    Task(executorPreference: threads) { HeldThreads.hold(gate) }
  }

  private static func hold(_ gate: DispatchSemaphore) { gate.wait() }

  func letGo() { gate.signal() }
}

@Suite("Large bodies, read beside the event loop")
struct BodyReadingTests {
  private static func post(_ count: Int) -> String {
    let event = #"{"source":"a","type":"t","data":""# + String(repeating: "x", count: 1000) + #""}"#
    let body = "[" + repeatElement(event, count: count).joined(separator: ",") + "]"
    return "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
      + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  private static let alive = "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

  /// Serves on one event loop. The body of the test lets the threads go.
  private func serve(
    _ held: HeldThreads, _ body: (IngestService, SocketAddress, HeldLog) async throws -> Void
  ) async throws {
    let log = HeldLog(partitionCount: 1)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let service = IngestService(
      configuration: IngestConfiguration(port: 0, reactors: 0), log: log, group: group,
      probe: ServiceProbe(readiness: { .init([]) }, metrics: { "" }), logger: Logger(label: "test"), bodies: held.threads)
    let address = try #require(try await service.start())
    do {
      try await body(service, address, log)
    } catch {
      held.letGo()
      await service.shutDown(timeout: .seconds(1))
      throw error
    }
    await service.shutDown()
    try await group.shutdownGracefully()
  }

  @Test("the loop answers others while a large body is read, and a connection's answers keep their order")
  func others() async throws {
    let held = HeldThreads()
    try await serve(held) { _, address, log in
      let large = try await RawConnection.dial(address, Self.post(400) + Self.post(1))
      let alive = try await RawConnection.dial(address, Self.alive)
      let small = try await RawConnection.dial(address, Self.post(2))
      try await eventually { alive.text.hasPrefix("HTTP/1.1 200") && log.heldCount == 1 }
      log.complete(0)
      try await eventually { small.text.contains(#""appended":2,"#) }
      #expect(large.text.isEmpty && log.heldCount == 0)
      held.letGo()
      try await eventually {
        if log.heldCount > 0 { log.complete(0) }
        return large.text.contains(#""appended":1,"#)
      }
      let first = large.text.components(separatedBy: #""appended":1,"#)[0]
      #expect(first.contains(#""appended":400,"#))
    }
  }

  @Test("a service that shuts down answers for the large bodies that it has")
  func draining() async throws {
    let held = HeldThreads()
    try await serve(held) { service, address, log in
      try await eventually { held.threads.waitingCount == 0 }
      let large = try await RawConnection.dial(address, Self.post(400))
      // A body that is still coming when the service shuts down is cut off.
      try await eventually { held.threads.waitingCount == 1 }
      async let down: Void = service.shutDown(timeout: .seconds(60))
      try await eventually {
        do { _ = try await RawConnection.dial(address, "") } catch { return true }
        return false
      }
      #expect(large.text.isEmpty)
      held.letGo()
      try await eventually {
        if log.heldCount > 0 { log.complete(0) }
        return large.text.contains(#""appended":400,"#)
      }
      await down
    }
  }

  @Test("as many texts are held at once as the bound says; the others' turns come in their order, or are left")
  func turns() {
    let reading = BodyReading(AnswerThreads(label: "test.body", threads: 1))
    var begun: [Int] = []
    for number in 0..<BodyReading.textsMax + 4 {
      #expect(
        reading.takeTurn {
          begun.append(number)
          // The client of the third is gone.
          return number != BodyReading.textsMax
        })
    }
    let first = Array(0..<BodyReading.textsMax)
    #expect(begun == first)
    reading.endTurn()
    #expect(begun == first + [BodyReading.textsMax, BodyReading.textsMax + 1])
    while begun.count < BodyReading.textsMax + 4 { reading.endTurn() }
    #expect(begun == Array(0..<BodyReading.textsMax + 4))
    for _ in 0..<BodyReading.textsMax { reading.endTurn() }
    #expect(reading.takeTurn { false })
  }

  @Test("more bodies than the bound do not wait")
  func bound() {
    let reading = BodyReading(AnswerThreads(label: "test.body", threads: 1))
    for _ in 0..<BodyReading.textsMax + BodyReading.waitingMax { #expect(reading.takeTurn { true }) }
    #expect(!reading.takeTurn { true })
    reading.endTurn()
    #expect(reading.takeTurn { true })
  }

  @Test("a body is long by its bytes, and if it is gzip, however few it has")
  func long() throws {
    for (bytes, encoding, isLong) in [
      (BodyReading.bytesOnLoopMax, nil, false), (BodyReading.bytesOnLoopMax + 1, nil, true), (30, "gzip", true),
    ] as [(Int, String?, Bool)] {
      var headers: HTTPHeaders = ["Content-Type": "application/json"]
      if let encoding { headers.add(name: "Content-Encoding", value: encoding) }
      let request = HTTPRequest(.POST, "/v1/events", headers: headers, body: ByteBuffer(repeating: 0x20, count: bytes))
      #expect(try EventsRequest(request.head).isLong(request) == isLong, "\(bytes) bytes, \(encoding ?? "not encoded")")
    }
  }
}
