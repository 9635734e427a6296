import ArgumentParser
import Foundation

struct TopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Watch the overview: what comes in, what is counted, how far behind, and whether it all adds up.",
    discussion: """
      Redraws in place on a terminal until Ctrl-C; elsewhere, and with --output json or csv, it prints a line each interval. Counts of devices' \
      events are those since the service started; views' counts are durable.

      Example: penstock top --once --output json
      """)

  @Flag(help: "Print one snapshot and end. Its rates are those of one interval.")
  var once = false

  @Option(help: ArgumentHelp("Time between two samples, 100ms to 1h.", valueName: "duration"))
  var interval = "1s"

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func validate() throws { _ = try period() }

  func run() async throws {
    let client = try service.client()
    let period = try period()
    guard once else {
      return try await OverviewWatch(
        client: client, interval: period, format: outputOptions.output, color: outputOptions.color
      ).run()
    }
    let (before, start) = (try await OverviewWatch.sample(client), ContinuousClock.now)
    try await Task.sleep(for: period)
    let sample = try await OverviewWatch.sample(client)
    let text = OverviewText(OverviewChange(sample, after: before, seconds: (.now - start) / .seconds(1)))
    switch outputOptions.output {
    case .table:
      let lines = text.page(title: client.baseURL)
      try StandardStream.output.write(
        lines.map { $0.rendered(columns: .max, color: outputOptions.color) + "\n" }.joined())
    case .csv: try StandardStream.output.write(OverviewText.csvHeading + text.csvRecord)
    case .json: try StandardStream.output.write(text.json.text + "\n")
    }
  }

  private func period() throws -> Duration {
    guard let period = Duration(settingText: interval), period >= .milliseconds(100), period <= .seconds(3600) else {
      throw ValidationError("--interval: expected 100ms to 1h, not '\(interval)'")
    }
    return period
  }
}
