import Foundation
import Logging
import NIOPosix
import Testing

@testable import PenstockClient

@Suite("Sending a file to a running Penstock")
struct SendTests {
  @Test("a file sent twice is appended once, and counted right both times", arguments: [false, true])
  func twice(isCompressed: Bool) async throws {
    let weather = try Weather()
    let penstock = try PenstockProcess(views: Weather.views)
    try await penstock.start()
    var client = DeviceClientConfiguration(port: await penstock.ingestPort)
    client.deflate = isCompressed
    var configuration = EventFileSender.Configuration(client: client)
    configuration.connections = 3
    let sender = EventFileSender(configuration, group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "send"))

    let first = try await sender.run(.file(Weather.path)).totals
    #expect((first.sent, first.appended, first.duplicates, first.rejected) == (weather.events.count, weather.events.count, 0, 0))
    let second = try await sender.run(.file(Weather.path)).totals
    #expect(
      (second.sent, second.appended, second.duplicates, second.rejected) == (weather.events.count, 0, weather.events.count, 0))

    let checks = WeatherChecks(
      weather: weather, api: QueryAPI(port: await penstock.queryPort), comment: "compressed: \(isCompressed)")
    try await checks.run(after: first.offsets)
    #expect(try await penstock.terminate() == 0)
  }

  @Test("bad lines are named, and cost only themselves")
  func badLines() async throws {
    let penstock = try PenstockProcess(views: Weather.views)
    try await penstock.start()
    let lines = [
      #"{"source":"s","type":"t","sequence":1}"#, "{", "", #"{"source":"s","type":"t","time":"never","sequence":2}"#, "17",
      #"{"type":"t"}"#, #"{"source":"s","type":"t","sequence":3}"#,
    ]
    let file = penstock.folder.appendingPathComponent("lines.ndjson")
    try lines.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
    let sender = EventFileSender(
      EventFileSender.Configuration(client: DeviceClientConfiguration(port: await penstock.ingestPort)),
      group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "send"))
    let totals = try await sender.run(.file(file.path)).totals
    #expect((totals.sent, totals.appended, totals.rejected) == (6, 2, 4))
    #expect(
      totals.rejects.map { "\($0.line) \($0.code)" }
        == ["2 malformed_json", "4 invalid_time", "5 invalid_event", "6 missing_source"])
    _ = try await penstock.terminate()
  }

  @Test("where nothing listens, the client says so after the time it may try")
  func unreachable() async throws {
    // Port 1 of loopback: refused at once.
    var client = DeviceClientConfiguration(port: 1, seed: 1)
    client.retryFor = .milliseconds(200)
    let sender = EventFileSender(
      EventFileSender.Configuration(client: client), group: MultiThreadedEventLoopGroup.singleton,
      logger: Logger(label: "send"))
    await #expect(throws: DeviceClientError.self) { try await sender.run(.file(Weather.path)) }
  }
}
