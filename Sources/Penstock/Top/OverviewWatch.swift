import UnixSignals

/// Asks for the overview at each interval, and shows it until it is interrupted.
struct OverviewWatch: Sendable {
  let client: ServiceClient
  let interval: Duration
  let format: OutputFormat
  let color: Bool

  /// Runs until SIGINT or SIGTERM, which end it in order.
  func run() async throws {
    // The buffer has one element: after a wake-up the loop looks at all that there is to do.
    let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for await signal in await UnixSignalsSequence(trapping: .sigint, .sigterm, .sigwinch, .sigcont) {
          guard signal == .sigwinch || signal == .sigcont else { return }
          wake.yield()
        }
      }
      group.addTask {
        while true {
          wake.yield()
          try await Task.sleep(for: interval)
        }
      }
      group.addTask {
        do { try await show(on: wakes) } catch is CancellationError {
          // Interrupted while it asked: this is the normal end.
        }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Takes one sample after the other; rates need two.
  static func sample(_ client: ServiceClient) async throws -> OverviewSample {
    try OverviewSample(try await client.get(["v1", "overview"]))
  }

  private func show(on wakes: AsyncStream<Void>) async throws {
    // The first sample is asked for before the screen is taken, so that an early failure shows on the terminal itself.
    var (sample, sampledAt) = (try await OverviewWatch.sample(client), ContinuousClock.now)
    var change = OverviewChange(sample)
    var problem: String?
    let output = StandardStream.output
    guard output.isTerminal, format == .table else {
      if format == .table { try output.write(OverviewText.lineHeading + "\n") }
      if format == .csv { try output.write(OverviewText.csvHeading) }
      for await _ in wakes where ContinuousClock.now - sampledAt >= interval * 0.9 {
        do {
          change = try await next(after: &sample, &sampledAt)
          try output.write(record(of: change))
        } catch let failure as CommandFailure {
          try Task.checkCancellation()
          sampledAt = .now
          StandardStream.error.note("penstock: \(failure)")
        }
      }
      return
    }
    let screen = try TerminalScreen(output, color: color)
    do {
      for await _ in wakes {
        if ContinuousClock.now - sampledAt >= interval * 0.9 {
          do {
            change = try await next(after: &sample, &sampledAt)
            problem = nil
          } catch let failure as CommandFailure {
            try Task.checkCancellation()
            sampledAt = .now
            problem = "\(failure)"
          }
        }
        try screen.draw(OverviewText(change).page(title: client.baseURL, problem: problem, rows: screen.rows))
      }
    } catch {
      screen.leave()
      throw error
    }
    screen.leave()
  }

  private func next(after sample: inout OverviewSample, _ sampledAt: inout ContinuousClock.Instant) async throws -> OverviewChange
  {
    let new = try await OverviewWatch.sample(client)
    let now = ContinuousClock.now
    let change = OverviewChange(new, after: sample, seconds: (now - sampledAt) / .seconds(1))
    (sample, sampledAt) = (new, now)
    return change
  }

  private func record(of change: OverviewChange) -> String {
    let text = OverviewText(change)
    switch format {
    case .table: return text.line + "\n"
    case .csv: return text.csvRecord
    case .json: return text.json.text + "\n"
    }
  }
}
