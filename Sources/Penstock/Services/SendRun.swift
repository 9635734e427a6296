import Logging
import NIOPosix
import PenstockClient
import Synchronization

/// What `penstock send` was asked for.
struct SendRequest: Sendable, Hashable {
  /// A path, or `-` for standard input.
  var file: String
  /// `ws://HOST:PORT/v1/stream`, or `wss://`
  var url: String
  /// 1...1,024
  var connections: Int
  /// Events in one message, 1...10,000.
  var eventsPerMessage: Int
  /// Events a second over all connections; nil as fast as acks allow.
  var rate: Double?
}

/// What became of the events of one `send`: `sent = appended + duplicates + rejected`.
struct SendCounts: Sendable {
  var sent = 0
  var appended = 0
  var duplicates = 0
  var rejected = 0
  /// Connections that dropped and were resumed.
  var resumed = 0
  var elapsed: Duration = .zero
  /// Partition → next offset, for `after=`.
  var offsets: [Int: Int64] = [:]
  var ackLatency = LatencyHistogram()
}

enum SendRun {
  /// Sends every event and returns once all are answered for. Progress goes to `ProgressBar`.
  static func run(_ request: SendRequest, _ options: SecurityOptions? = nil) async throws -> SendCounts {
    var configuration = EventFileSender.Configuration(client: try client(request.url, options))
    configuration.connections = request.connections
    configuration.batch = request.eventsPerMessage
    configuration.rate = request.rate
    let bar = Mutex<ProgressBar?>(nil)
    let sender = EventFileSender(
      configuration, group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "penstock.send"))
    let report: EventFileSender.Report
    do throws(DeviceClientError) {
      report = try await sender.run(EventInput(argument: request.file)) { progress in
        bar.withLock { bar in
          if bar == nil { bar = ProgressBar("sending", total: progress.bytesTotal, unit: "bytes") }
          bar?.update(progress.bytesRead)
        }
      }
    } catch {
      bar.withLock { $0?.finish() }
      throw CommandFailure(error.description, exitCode: error.code == .input ? .usage : .failed)
    }
    bar.withLock { $0?.finish() }
    for reject in report.totals.rejects {
      StandardStream.error.note("line \(reject.line) rejected: \(reject.code): \(reject.detail)")
    }
    if report.totals.rejected > report.totals.rejects.count {
      StandardStream.error.note("and \(report.totals.rejected - report.totals.rejects.count) more rejects")
    }
    return SendCounts(
      sent: report.totals.sent, appended: report.totals.appended, duplicates: report.totals.duplicates,
      rejected: report.totals.rejected, resumed: report.totals.reconnects, elapsed: report.elapsed,
      offsets: report.totals.offsets, ackLatency: report.totals.ackLatency)
  }

  private static func client(_ text: String, _ options: SecurityOptions?) throws -> DeviceClientConfiguration {
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
