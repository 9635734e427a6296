import Events
import Logging
import NIOCore
import WebSocket

/// What the connections of one event loop share.
final class IngestLoop {
  let configuration: IngestConfiguration
  let log: any EventLog
  let pipeline: IngestPipeline
  let scratch = WebSocketScratch()
  let counters: IngestCounters
  let logger: Logger
  let probe: ServiceProbe
  let gate: AccessGate
  let limits: DeviceLimits
  let deflate = WebSocketDeflateSettings()
  private(set) var isDraining = false
  private var sessions: [ObjectIdentifier: WebSocketSession] = [:]
  private var requests: [ObjectIdentifier: IngestHTTPHandler] = [:]

  init(
    configuration: IngestConfiguration, log: any EventLog, eventLoop: any EventLoop, counters: IngestCounters,
    probe: ServiceProbe, gate: AccessGate, limits: DeviceLimits, logger: Logger
  ) {
    self.configuration = configuration
    self.log = log
    self.counters = counters
    self.probe = probe
    self.gate = gate
    self.limits = limits
    self.logger = logger
    pipeline = IngestPipeline(log: log, eventLoop: eventLoop, counters: counters)
  }

  func add(_ session: WebSocketSession) { sessions[ObjectIdentifier(session)] = session }
  func remove(_ session: WebSocketSession) { sessions[ObjectIdentifier(session)] = nil }

  func add(_ handler: IngestHTTPHandler) { requests[ObjectIdentifier(handler)] = handler }
  func remove(_ handler: IngestHTTPHandler) { requests[ObjectIdentifier(handler)] = nil }

  /// Ends each session once what it sent is answered for.
  func drain() {
    isDraining = true
    for session in sessions.values { session.finish() }
    for handler in requests.values { handler.finish() }
  }
}
