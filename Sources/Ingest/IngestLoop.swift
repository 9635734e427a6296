import Events
import Logging
import NIOCore
import Serving
import WebSocket

/// The state that the connections of one loop share.
final class IngestLoop {
  let loop: any ConnectionLoop
  let configuration: IngestConfiguration
  let log: any EventLog
  let pipeline: IngestPipeline
  let bodies: BodyReading
  let scratch = WebSocketScratch()
  let counters: IngestCounters
  let logger: Logger
  let gate: AccessGate
  let limits: DeviceLimits
  /// The hosts that requests may be for, and the origins of pages that may send.
  let rules: HostRules
  let deflate = WebSocketDeflateSettings()
  /// The turn that `turnNow` was last asked in, and its time.
  private var turn: (time: UInt64, wall: Timestamp) = (0, Timestamp(nanoseconds: 0))
  private(set) var isDraining = false
  private var connections: [ObjectIdentifier: any DrainableConnection] = [:]

  init(
    configuration: IngestConfiguration, log: any EventLog, loop: any ConnectionLoop, counters: IngestCounters,
    gate: AccessGate, limits: DeviceLimits, bodies: AnswerThreads, logger: Logger
  ) {
    self.bodies = BodyReading(bodies)
    self.loop = loop
    self.configuration = configuration
    self.log = log
    self.counters = counters
    self.gate = gate
    self.limits = limits
    rules = configuration.rules
    self.logger = logger
    pipeline = IngestPipeline(log: log, loop: loop, counters: counters, ahead: configuration.aheadRule)
  }

  /// The present turn's time: nanoseconds of a clock that only rises, and the wall clock's time. All that is read in a turn of a
  /// reactor has arrived at the same time; NIO's loops are asked each time.
  var turnNow: (uptime: UInt64, wall: Timestamp) {
    guard let time = loop.turnTime else { return (NIODeadline.now().uptimeNanoseconds, .systemNow()) }
    if turn.time != time { turn = (time, .systemNow()) }
    return (time, turn.wall)
  }

  func add(_ connection: any DrainableConnection) { connections[ObjectIdentifier(connection)] = connection }
  func remove(_ connection: any DrainableConnection) { connections[ObjectIdentifier(connection)] = nil }

  /// Ends the open connections of processes of this machine once their messages are answered for; new ones may begin.
  func renewLocal() { for connection in connections.values where connection.isFromThisMachine { connection.finish() } }

  /// Ends each connection once its messages are answered for.
  func drain() {
    isDraining = true
    for connection in connections.values { connection.finish() }
  }
}

extension IngestLoop {
  /// Connections checked in one turn of the loop: each may cost a check of a signature.
  private static let askedAtOnce = 32

  /// Tokens or keys have changed: every connection checks whether it may go on.
  func accessChanged() { ask(Array(connections.values)[...]) }

  private func ask(_ rest: ArraySlice<any DrainableConnection>) {
    for connection in rest.prefix(IngestLoop.askedAtOnce) { connection.accessChanged() }
    let left = LoopBound((loop: self, rest: rest.dropFirst(IngestLoop.askedAtOnce)), loop)
    guard !left.value.rest.isEmpty else { return }
    loop.execute { left.value.loop.ask(left.value.rest) }
  }
}

/// A connection that can be asked to end.
protocol DrainableConnection: AnyObject {
  /// Tokens or keys have changed: the connection ends unless its own is still valid.
  func accessChanged()
  /// Takes no new messages, and closes when the received ones are answered for. Called again, it waits for no request that is
  /// still being read.
  func finish()
  /// Whether the other end is a process of this machine, as a sidecar is.
  var isFromThisMachine: Bool { get }
}
