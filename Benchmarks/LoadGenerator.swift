import CEpoll
import Glibc
import PenstockClient

/// Many connections' load out of one thread, by epoll and plain sockets: it shares the machine with the server, so it must cost
/// little.
struct LoadGenerator: ~Copyable {
  struct Settings: Sendable {
    var port: Int
    var connections: Int
    var batch: Int
    /// Messages on their way on each connection.
    var pipeline: Int
    /// Events a second over all connections; 0 for as many as go.
    var rate: Double
    var sourcesPerConnection: Int
    /// The messages that a connection sends.
    var messagesMax = Int.max
    /// The sequence before a connection's first event; nil for one above those of earlier runs.
    var sequence: UInt64?
  }

  struct Counts: Sendable {
    var sentMessages = 0
    var ackedMessages = 0
    var rejects = 0
    var latency = LatencyHistogram()
  }

  private struct Connection {
    var socket: Int32
    var template: EventTemplate
    var sequence: UInt64
    var sourceBase: UInt64
    var sent = 0
    var acked = 0
    /// When each message on its way was sent, by its number modulo the pipeline.
    var sentAt: [UInt64]
    /// Written in part.
    var unwritten: [UInt8] = []
    /// A frame that came in part.
    var received: [UInt8] = []
  }

  private static let bufferBytes = 256 * 1024
  private static let ackStart = Array(#"{"kind":"ack","messages":"#.utf8)

  let settings: Settings
  private(set) var counts = Counts()
  private var connections: [Connection] = []
  private let epoll: Int32
  private let outgoing: UnsafeMutableRawBufferPointer
  private let incoming: UnsafeMutableRawBufferPointer
  private var nextConnection = 0
  /// Messages that are not acknowledged.
  private var onTheirWay = 0
  /// Messages that may still be sent; none while answers are only taken.
  private var messagesLeft: Int
  private var allowedSince: UInt64 = 0
  private var allowedEvents = 0.0
  private var time: [UInt8] = []
  private var timeMilliseconds: Int64 = 0
  var eventBytes: Int { connections.first?.template.eventBytes ?? 0 }

  init(_ settings: Settings) throws {
    self.settings = settings
    messagesLeft =
      settings.messagesMax.multipliedReportingOverflow(by: settings.connections).overflow
      ? .max : settings.messagesMax * settings.connections
    epoll = epoll_create1(0)
    outgoing = .allocate(byteCount: LoadGenerator.bufferBytes, alignment: 64)
    incoming = .allocate(byteCount: LoadGenerator.bufferBytes, alignment: 64)
    raiseFileLimit()
    timeMilliseconds = wallMilliseconds()
    time = EventTemplate.timeText(milliseconds: timeMilliseconds)
    // Above what earlier runs sent, in 16 digits.
    let sequence = settings.sequence ?? UInt64(timeMilliseconds) * 1000
    for index in 0..<settings.connections {
      let (socket, rest) = try RawWebSocket.connect(port: settings.port, path: "/v1/stream")
      _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
      let base = UInt64(index * settings.sourcesPerConnection)
      var connection = Connection(
        socket: socket,
        template: EventTemplate(
          batch: settings.batch, sequence: sequence, source: base, time: time,
          maskKey: [0x5A, UInt8(truncatingIfNeeded: index) | 1, 0x3C, 0xC7]),
        sequence: sequence, sourceBase: base, sentAt: Array(repeating: 0, count: settings.pipeline))
      connection.received = rest
      connections.append(connection)
      var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: UInt64(index)))
      guard epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == 0 else { throw BenchError("epoll_ctl failed") }
    }
    for index in connections.indices { try takeReceived(index, UnsafeRawBufferPointer(start: nil, count: 0), at: 0) }
  }

  deinit {
    for connection in connections { close(connection.socket) }
    close(epoll)
    outgoing.deallocate()
    incoming.deallocate()
  }

  mutating func resetCounts() { counts = Counts() }

  /// Sends no more, and takes the answers to what is on its way.
  /// - Parameter end: A time of the monotonic clock.
  /// - Throws: `BenchError` if they have not come by then.
  mutating func drain(until end: UInt64) throws {
    messagesLeft = 0
    try run(until: end)
    guard onTheirWay == 0 else { throw BenchError("\(onTheirWay) messages are not acknowledged") }
  }

  /// Runs until `end` of the monotonic clock, or until all messages are acknowledged.
  mutating func run(until end: UInt64) throws {
    var events = [epoll_event](repeating: epoll_event(), count: 256)
    allowedSince = monotonicNow()
    allowedEvents = 0
    if settings.rate == 0 {
      for index in connections.indices { try send(index, messagesMax: .max, now: monotonicNow()) }
    }
    while true {
      let ready = epoll_wait(epoll, &events, Int32(events.count), settings.rate > 0 ? 1 : 10)
      let now = monotonicNow()
      if now >= end || (messagesLeft == 0 && onTheirWay == 0) { return }
      tick()
      for index in 0..<max(0, Int(ready)) {
        let connection = Int(events[index].data.u64)
        if events[index].events & EPOLLOUT.rawValue != 0 { try flush(connection) }
        if events[index].events & ~EPOLLOUT.rawValue != 0 {
          try receive(connection, now)
          if settings.rate == 0 { try send(connection, messagesMax: .max, now: now) }
        }
      }
      if settings.rate > 0 { try sendAllowed(now) }
    }
  }

  private mutating func tick() {
    let milliseconds = wallMilliseconds()
    if milliseconds != timeMilliseconds {
      timeMilliseconds = milliseconds
      time = EventTemplate.timeText(milliseconds: milliseconds)
    }
  }

  /// Round robin over the connections, as far as the rate allows. Events that could not be sent because all windows were full are
  /// made up for by a tenth of a second at most.
  private mutating func sendAllowed(_ now: UInt64) throws {
    allowedEvents += Double(now - allowedSince) / 1e9 * settings.rate
    allowedSince = now
    allowedEvents = min(allowedEvents, max(settings.rate / 10, Double(settings.batch)))
    var tried = 0
    while allowedEvents >= Double(settings.batch), tried < connections.count {
      let before = connections[nextConnection].sent
      try send(nextConnection, messagesMax: 1, now: now)
      let sent = connections[nextConnection].sent - before
      allowedEvents -= Double(sent * settings.batch)
      tried = sent > 0 ? 0 : tried + 1
      nextConnection = (nextConnection + 1) % connections.count
    }
  }

  /// Sends as many messages as the window has room for, in one write as far as they fit.
  private mutating func send(_ index: Int, messagesMax: Int, now: UInt64) throws {
    guard connections[index].unwritten.isEmpty else { return }
    var left = min(
      messagesMax, messagesLeft, settings.pipeline - (connections[index].sent - connections[index].acked),
      settings.messagesMax - connections[index].sent)
    let frameBytes = connections[index].template.frame.count
    while left > 0 {
      var used = 0
      repeat {
        connections[index].template.advance(
          sequence: connections[index].sequence + 1, sourceBase: connections[index].sourceBase,
          sourceCount: UInt64(settings.sourcesPerConnection), time: time)
        connections[index].sequence += UInt64(settings.batch)
        connections[index].sentAt[connections[index].sent % settings.pipeline] = now
        connections[index].sent += 1
        counts.sentMessages += 1
        onTheirWay += 1
        messagesLeft -= 1
        if frameBytes <= outgoing.count {
          connections[index].template.frame.withUnsafeBytes {
            outgoing.baseAddress?.advanced(by: used).copyMemory(from: $0.baseAddress!, byteCount: frameBytes)
          }
          used += frameBytes
        }
        left -= 1
      } while left > 0 && used + frameBytes <= outgoing.count
      let written = Glibc.send(connections[index].socket, outgoing.baseAddress, used, Int32(MSG_NOSIGNAL))
      if written < used {
        guard written >= 0 || errno == EAGAIN else { throw BenchError("connection \(index) broke while writing") }
        connections[index].unwritten = Array(outgoing[max(0, written)..<used])
        listen(index, EPOLLIN.rawValue | EPOLLOUT.rawValue)
        return
      }
    }
  }

  private mutating func flush(_ index: Int) throws {
    let count = connections[index].unwritten.count
    let written = connections[index].unwritten.withUnsafeBytes {
      Glibc.send(connections[index].socket, $0.baseAddress, count, Int32(MSG_NOSIGNAL))
    }
    guard written >= 0 || errno == EAGAIN else { throw BenchError("connection \(index) broke while writing") }
    connections[index].unwritten.removeFirst(max(0, written))
    if connections[index].unwritten.isEmpty {
      listen(index, EPOLLIN.rawValue)
      if settings.rate == 0 { try send(index, messagesMax: .max, now: monotonicNow()) }
    }
  }

  private func listen(_ index: Int, _ wanted: UInt32) {
    var event = epoll_event(events: wanted, data: epoll_data_t(u64: UInt64(index)))
    epoll_ctl(epoll, EPOLL_CTL_MOD, connections[index].socket, &event)
  }

  private mutating func receive(_ index: Int, _ now: UInt64) throws {
    let count = recv(connections[index].socket, incoming.baseAddress, incoming.count, 0)
    guard count != 0 else { throw BenchError("the server closed connection \(index)") }
    guard count > 0 else {
      if errno == EAGAIN { return }
      throw BenchError("connection \(index) broke: \(String(cString: strerror(errno)))")
    }
    try takeReceived(index, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(incoming)[..<count]), at: now)
  }

  private mutating func takeReceived(_ index: Int, _ bytes: UnsafeRawBufferPointer, at now: UInt64) throws {
    if connections[index].received.isEmpty {
      let used = try takeFrames(index, bytes, now)
      if used < bytes.count { connections[index].received = Array(bytes[used...]) }
      return
    }
    var joined = connections[index].received
    joined.append(contentsOf: bytes)
    let used = try joined.withUnsafeBytes { try takeFrames(index, $0, now) }
    connections[index].received = Array(joined[used...])
  }

  private mutating func takeFrames(_ index: Int, _ bytes: UnsafeRawBufferPointer, _ now: UInt64) throws -> Int {
    var at = 0
    while let (opcode, payload) = RawWebSocket.frame(bytes, at: at) {
      at = payload.upperBound
      let text = UnsafeRawBufferPointer(rebasing: bytes[payload])
      switch opcode {
      case 1:
        if text.count > 12, text[9] == 0x61 {
          takeAck(index, text, now)
        } else if text.count > 12, text[9] == 0x72 {
          counts.rejects += 1
          if counts.rejects == 1 { complain(String(decoding: text, as: UTF8.self)) }
        }
      case 8:
        throw BenchError("the server closed connection \(index) with \(text.count >= 2 ? Int(text[0]) << 8 | Int(text[1]) : 0)")
      case 9: try RawWebSocket.writeAll(connections[index].socket, RawWebSocket.pong(text))
      default: break
      }
    }
    return at
  }

  private mutating func takeAck(_ index: Int, _ text: UnsafeRawBufferPointer, _ now: UInt64) {
    var messages = 0, at = LoadGenerator.ackStart.count
    while at < text.count, text[at] &- 0x30 < 10 {
      messages = messages * 10 + Int(text[at] &- 0x30)
      at += 1
    }
    var number = connections[index].acked
    while number < messages {
      counts.latency.record(nanoseconds: now &- connections[index].sentAt[number % settings.pipeline])
      number += 1
    }
    counts.ackedMessages += messages - connections[index].acked
    onTheirWay -= messages - connections[index].acked
    connections[index].acked = messages
  }

  private func complain(_ text: String) {
    let line = "first reject: \(text)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
  }
}

private func raiseFileLimit() {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
  limit.rlim_cur = limit.rlim_max
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
