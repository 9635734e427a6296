import Events
import Foundation
import Logging
import Views

enum Demo {
  /// The folder beside the executable that the build puts the bundled files into.
  private static let resources = "penstock_Penstock.resources"

  /// Runs `up` in a temporary folder, sends the bundled weather data through it, and prints its results.
  /// - Parameter once: Whether to end after the results instead of serving on.
  static func run(_ settings: Settings, once: Bool) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-demo-\(UUID().uuidString)").path
    var settings = settings
    settings.data = folder
    settings.ingest.listen = ListenAddress(host: "127.0.0.1", port: 0)
    settings.query.listen = ListenAddress(host: "127.0.0.1", port: 0)
    settings.auth.disable()
    settings.tls = TLSSettings()
    let service = DemoRun(
      settings: settings, catalog: try readViews(try resource("demo-views.yaml")), data: try resource("weather-2013.ndjson.gz"),
      registry: Services.bootstrapMetrics(), once: once)
    defer { remove(folder) }
    try await service.run()
  }

  /// A bundled file: beside the executable, wherever that was built or installed.
  private static func resource(_ name: String) throws -> String {
    let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let path = (executable as NSString).deletingLastPathComponent + "/\(resources)/\(name)"
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("the bundled file \(path) is missing: keep the folder \(resources) beside the penstock executable")
    }
    return path
  }

  private static func remove(_ folder: String) {
    do { try FileManager.default.removeItem(atPath: folder) } catch {
      StandardStream.error.note("the demo's folder \(folder) could not be removed: \(error.localizedDescription)")
    }
  }
}

/// The demo: starts all four, streams, prints, and serves on until the signal.
private struct DemoRun {
  let settings: Settings
  let catalog: ViewCatalog
  let data: String
  let registry: PrometheusRegistry
  let once: Bool

  func run() async throws {
    let logger = Logger(label: "penstock")
    let shutdown = await ShutdownSignal()
    let services = try await EmbeddedServices.start(settings, catalog: catalog, registry: registry, logger: logger)
    do {
      try await shutdown.cancelling { try await showResults(services) }
    } catch {
      await services.shutDown()
      // Interrupted: there is nothing left to print.
      if shutdown.hasArrived { return }
      throw error
    }
    if !once {
      try StandardStream.output.write(
        """

        Ask for more, until Ctrl-C:
          curl '\(queryURL(services))/v1/views/station_daily?group_by=&step=30d'
          curl '\(queryURL(services))/v1/events?source=station/JFK&limit=3'
        The console's address: \(queryURL(services))/

        """)
      await shutdown.wait()
    }
    await services.shutDown()
  }

  private func queryURL(_ services: EmbeddedServices) -> String { "http://\(services.queryAddress)" }

  private func showResults(_ services: EmbeddedServices) async throws {
    let counts = try await SendRun.run(
      SendRequest(
        file: data, url: "ws://\(services.ingestAddress)/v1/stream", connections: 3, eventsPerMessage: 100, rate: nil))
    try counts.check()
    let client = try ServiceClient(baseURL: queryURL(services))
    let after = OffsetVector(
      Dictionary(uniqueKeysWithValues: counts.offsets.map { (PartitionID($0.key), Offset($0.value)) }))
    let visibleFrom = ContinuousClock.now
    _ = try await client.get(
      ["v1", "views", "station_daily"],
      query: [(name: "after", value: after.description), (name: "limit", value: "1"), (name: "timeout", value: "60s")])
    let visible = ContinuousClock.now - visibleFrom

    let output = StandardStream.output
    try output.write(
      """
      \(counts.sent) observations of three airports in 2013, sent over three WebSocket connections:
        appended \(counts.appended), duplicates \(counts.duplicates), rejected \(counts.rejected); \
      \(Demo.seconds(counts.elapsed)) s, \(Int(Double(counts.sent) / max(counts.elapsed / .seconds(1), 1e-6))) events/s, each acknowledged after its sync
        ack latency p50 \(Demo.milliseconds(counts.ackLatency.quantile(0.5) ?? .zero)) ms, p99 \(Demo.milliseconds(counts.ackLatency.quantile(0.99) ?? .zero)) ms; \
      all of it queryable \(Demo.milliseconds(visible)) ms after the last ack


      """)
    try await show(
      client, "Daily temperatures, °F, in the first days of July",
      [(name: "from", value: "2013-07-01"), (name: "to", value: "2013-07-04")], limit: 9)
    try await show(client, "The windiest days, mph", [(name: "order", value: "-wind_max")], limit: 5)
    try await show(
      client, "The busiest half-years: most observations",
      [(name: "step", value: "182d"), (name: "order", value: "-observations")], limit: 3)
  }

  private func show(_ client: ServiceClient, _ title: String, _ query: [(name: String, value: String)], limit: Int) async throws {
    var pages = ViewPages(client: client, view: "station_daily", query: query, limit: limit)
    let (first, rows) = try await pages.all()
    let columns = first.columns.filter { !["window_end", "final"].contains($0.name) }
    var table = Table(columns)
    for row in rows { table.append(columns.map { Demo.rounded(row[$0.name]) }) }
    let color = usesColor(.output, environment: ProcessInfo.processInfo.environment)
    try StandardStream.output.write("\(title)\n\(table.rendered(color: color))\n")
  }
}

extension Demo {
  fileprivate static func seconds(_ duration: Duration) -> String { String(format: "%.2f", duration / .seconds(1)) }
  fileprivate static func milliseconds(_ duration: Duration) -> String { String(format: "%.1f", duration / .milliseconds(1)) }

  /// A double with one digit after the point, for reading.
  fileprivate static func rounded(_ value: RawJSON?) -> RawJSON {
    guard case .number(let text)? = value, text.contains("."), let number = Double(text) else { return value ?? .null }
    return .number(String(format: "%.1f", number))
  }
}
