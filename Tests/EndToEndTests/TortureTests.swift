import Foundation
import Logging
import NIOPosix
import Testing

@testable import PenstockClient

/// I1, I3, I6: exactly once, whenever the process dies.
@Suite("Torture", .serialized)
struct TortureTests {
  /// Kills, by PENSTOCK_KILLS.
  private static let kills = ProcessInfo.processInfo.environment["PENSTOCK_KILLS"].flatMap { Int($0) } ?? 20
  /// To repeat a run, by PENSTOCK_SEED.
  private static let seed = ProcessInfo.processInfo.environment["PENSTOCK_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)
  /// Small, so that the stream can't be over before the kills are.
  private static let batch = 10
  private static let unackedMessagesMax = 8

  @Test(
    "a year is streamed while the process is killed again and again: every result is right, no event is twice or missing"
  )
  func killed() async throws {
    let comment: Comment = "PENSTOCK_SEED=\(TortureTests.seed) PENSTOCK_KILLS=\(TortureTests.kills)"
    var random = SeededGenerator(seed: TortureTests.seed)
    let weather = try Weather()
    let penstock = try PenstockProcess(views: Weather.views)
    try await penstock.start()

    var clients: [DeviceClient] = []
    let port = await penstock.ingestPort
    let stations = Dictionary(grouping: weather.events.indices) { weather.events[$0].source }.sorted { $0.key < $1.key }.map(
      \.value)
    for _ in stations {
      var configuration = DeviceClientConfiguration(port: port, seed: random.next())
      configuration.unackedMessagesMax = TortureTests.unackedMessagesMax
      configuration.queuedMessagesMax = TortureTests.unackedMessagesMax
      configuration.backoffMin = .milliseconds(5)
      configuration.backoffMax = .milliseconds(50)
      configuration.deflate = clients.isEmpty
      clients.append(
        DeviceClient(
          configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), logger: Logger(label: "torture")))
    }

    let moments = (0..<TortureTests.kills).map { _ in Int.random(in: 0..<weather.events.count, using: &random) }.sorted()
    let delays = moments.map { _ in Duration.microseconds(Int.random(in: 0..<30_000, using: &random)) }
    let killsDuringStart = moments.map { _ in Int.random(in: 0..<5, using: &random) == 0 }

    let totals = try await withThrowingTaskGroup(of: DeviceTotals.self) { group in
      for (client, station) in zip(clients, stations) {
        client.start()
        group.addTask {
          for start in stride(from: 0, to: station.count, by: TortureTests.batch) {
            var message = DeviceMessage()
            for index in station[start..<min(start + TortureTests.batch, station.count)] {
              weather.lines[index].withUnsafeBytes { message.append($0, EventFacts($0), line: index) }
            }
            try await client.send(message)
          }
          return try await client.finish()
        }
      }

      for index in moments.indices {
        try await waitUntilAnswered(moments[index], clients, comment)
        try await Task.sleep(for: delays[index])
        try await penstock.kill()
        try await penstock.launch()
        if killsDuringStart[index] {
          // Once more while it recovers.
          try await Task.sleep(for: delays[index])
          try await penstock.kill()
          try await penstock.launch()
        }
        try await penstock.waitUntilListening()
      }

      var totals = DeviceTotals()
      for try await one in group { totals.merge(one, rejectsKeptMax: 10) }
      return totals
    }
    #expect(totals.sent == weather.events.count, comment)
    #expect(totals.appended + totals.duplicates == weather.events.count && totals.rejected == 0, "\(totals.rejects) \(comment)")
    #expect(totals.reconnects >= TortureTests.kills / 2, "the kills did not meet the stream: \(comment)")

    try await penstock.kill()
    try await penstock.start()
    let checks = WeatherChecks(weather: weather, api: QueryAPI(port: await penstock.queryPort), comment: comment)
    try await checks.run(after: totals.offsets)
    #expect(try await penstock.terminate() == 0, comment)
  }

  private func waitUntilAnswered(_ events: Int, _ clients: [DeviceClient], _ comment: Comment) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while clients.reduce(0, { $0 + $1.totals.answered }) < events {
      guard ContinuousClock.now < end else { throw EndToEndError("no progress: \(comment)") }
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}
