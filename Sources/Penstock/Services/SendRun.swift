import HTTPClient
import Logging
import NIOPosix
import PenstockClient
import Synchronization

struct SendRequest: Sendable, Hashable {
  /// A path, or `-` for standard input.
  var file: String
  /// `ws://HOST:PORT/v1/stream`, or `wss://`
  var url: String
  /// 1...1,024
  var connections: Int
  /// Events in one message, 1...10,000.
  var eventsPerMessage: Int
  /// Events a second over all connections; nil for as fast as acks allow.
  var rate: Double?
  /// The file that keeps what is not answered for over a crash; then there is one connection.
  var spool: String?
}

/// The fates of the events of one `send`: `sent = appended + duplicates + rejected`.
struct SendCounts: Sendable {
  var sent = 0
  var appended = 0
  var duplicates = 0
  var rejected = 0
  /// Connections that dropped and were resumed.
  var resumed = 0
  var elapsed: Duration = .zero
  /// The next offset of each partition, for `after=`.
  var offsets: [Int: Int64] = [:]
  var ackLatency = LatencyHistogram()
  /// The reason why sending ended before every event was answered for.
  var failure: CommandFailure?
}

extension SendCounts {
  init(_ totals: DeviceTotals, elapsed: Duration, failure: CommandFailure? = nil) {
    self.init(
      sent: totals.sent, appended: totals.appended, duplicates: totals.duplicates, rejected: totals.rejected,
      resumed: totals.reconnects, elapsed: elapsed, offsets: totals.offsets, ackLatency: totals.ackLatency, failure: failure)
  }

  /// One row: the result of a command that sent events.
  /// - Parameter hasLatency: Whether to show the times from sending to acknowledgement, in milliseconds.
  func table(hasLatency: Bool = false) -> Table {
    let seconds = elapsed / .seconds(1)
    var names = ["sent", "appended", "duplicates", "rejected", "resumed", "seconds", "events_per_second"]
    var row: [RawJSON] = [sent, appended, duplicates, rejected, resumed].map { .number("\($0)") }
    row += [.number("\((seconds * 1000).rounded() / 1000)"), .number("\(seconds > 0 ? Int(Double(sent) / seconds) : 0)")]
    if hasLatency {
      names += ["ack_p50_ms", "ack_p99_ms", "ack_max_ms"]
      for latency in [ackLatency.quantile(0.5), ackLatency.quantile(0.99), ackLatency.count > 0 ? ackLatency.max : nil] {
        row.append(latency.map { .number("\(($0 / .milliseconds(1) * 100).rounded() / 100)") } ?? .null)
      }
    }
    var table = Table(names.map { Table.Column($0, isNumber: true) })
    table.append(row)
    return table
  }

  /// - Throws: `CommandFailure` unless every event was answered for, and none rejected.
  func check() throws {
    if let failure { throw failure }
    guard sent == appended + duplicates + rejected else {
      throw CommandFailure("\(sent) events were sent, but not all were answered for")
    }
    if rejected > 0 { throw CommandFailure("\(rejected) of \(sent) events were rejected") }
  }
}

enum SendRun {
  /// Sends every event. Returns once all are answered for, or when sending failed or was interrupted: the counts then hold the
  /// answers until then, and the failure. Progress goes to `ProgressBar`. SIGINT and SIGTERM end it in order.
  static func run(_ request: SendRequest, _ options: SecurityOptions? = nil) async throws -> SendCounts {
    var configuration = EventFileSender.Configuration(client: try client(request.url, options))
    configuration.connections = request.connections
    configuration.batch = request.eventsPerMessage
    configuration.rate = request.rate
    if let spool = request.spool {
      do throws(DeviceClientError) { configuration.client.spool = try DeviceSpool(path: spool) } catch {
        throw CommandFailure("--spool: \(error)", exitCode: .usage)
      }
    }
    let progress = Mutex<(bar: ProgressBar?, last: EventFileSender.Progress?)>((nil, nil))
    let sender = EventFileSender(
      configuration, group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "penstock.send"))
    let input = EventInput(argument: request.file)
    let signal = await ShutdownSignal()
    let result = try await signal.cancelling { () -> Result<EventFileSender.Report, DeviceClientError> in
      do throws(DeviceClientError) {
        return .success(
          try await sender.run(input) { now in
            progress.withLock { progress in
              progress.last = now
              if progress.bar == nil { progress.bar = ProgressBar("sending", total: now.bytesTotal, unit: "bytes") }
              progress.bar?.update(now.bytesRead)
            }
          })
      } catch {
        return .failure(error)
      }
    }
    progress.withLock { $0.bar?.finish() }
    switch result {
    case .success(let report):
      tell(report.totals)
      return SendCounts(report.totals, elapsed: report.elapsed)
    case .failure(let error):
      guard error.code != .input, let last = progress.withLock({ $0.last }) else {
        throw CommandFailure(error.description, exitCode: error.code == .input ? .usage : .failed)
      }
      tell(last.totals)
      let open = last.totals.sent - last.totals.answered
      let why = error.code == .cancelled ? "interrupted" : error.description
      let failure = CommandFailure(
        "\(why): the input was not sent to its end, and \(open) events that were sent are not answered for; "
          + (request.spool.map { "what was read is kept in \($0): run it again" }
            ?? "send it again: what is there already is a duplicate, if it has a sequence"))
      return SendCounts(last.totals, elapsed: last.elapsed, failure: failure)
    }
  }

  private static func tell(_ totals: DeviceTotals) {
    for reject in totals.rejects {
      StandardStream.error.note("line \(reject.line) rejected: \(reject.code): \(reject.detail)")
    }
    if totals.rejected > totals.rejects.count {
      StandardStream.error.note("and \(totals.rejected - totals.rejects.count) more rejects")
    }
  }

  /// The client configuration for a `ws://HOST:PORT/PATH`.
  static func client(_ text: String, _ options: SecurityOptions?) throws -> DeviceClientConfiguration {
    guard let url = ServiceURL(text, schemes: ["ws", "wss"]) else {
      throw CommandFailure("--url: expected ws://HOST:PORT/v1/stream, not '\(text)'", exitCode: .usage)
    }
    var configuration = DeviceClientConfiguration(host: url.host, port: url.port)
    if !url.target.isEmpty, url.target != "/" { configuration.path = url.target }
    if let security = try options?.load(for: url) {
      configuration.headers += security.headers
      configuration.secure = security.secure
    }
    return configuration
  }
}
