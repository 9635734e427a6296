import Events

/// The fates of the events given to a client: `sent = appended + duplicates + rejected` once it has finished.
public struct DeviceTotals: Sendable {
  /// Events answered for, or sent and waiting for an answer; none is counted twice.
  public var sent = 0
  public var appended = 0
  public var duplicates = 0
  public var rejected = 0
  /// The part of `appended` whose acknowledgement was lost with a connection. The next connection's welcome showed that these
  /// events may be durable; the server, asked again, said that they are.
  public var recovered = 0
  /// Events sent once more after a connection was lost.
  public var resent = 0
  public var bytes = 0
  public var messages = 0
  /// Connections that were lost or refused, and tried again.
  public var reconnects = 0
  public var isConnected = false
  /// The next offset of each partition, the largest of all acknowledgements: the `after=` of a query.
  public var offsets: [Int: Int64] = [:]
  /// The last durable sequence of each source that the handshake named, as the server says.
  public var resume: [UTF8Text: ResumePosition] = [:]
  public var rejects: [DeviceReject] = []
  /// The time from sending a message to the acknowledgement that covers it.
  public var ackLatency = LatencyHistogram()

  public init() {}

  public var answered: Int { appended + duplicates + rejected }

  /// Keeps the reject if it is one of the first `keptMax`.
  mutating func note(_ reject: DeviceReject, keptMax: Int) {
    if rejects.count < keptMax { rejects.append(reject) }
  }

  /// Adds another client's totals, keeping at most `rejectsKeptMax` rejects, the first lines' ones.
  public mutating func merge(_ other: DeviceTotals, rejectsKeptMax: Int) {
    sent += other.sent
    appended += other.appended
    duplicates += other.duplicates
    rejected += other.rejected
    recovered += other.recovered
    resent += other.resent
    bytes += other.bytes
    messages += other.messages
    reconnects += other.reconnects
    isConnected = isConnected || other.isConnected
    offsets.merge(other.offsets) { max($0, $1) }
    resume.merge(other.resume) { $1 }
    rejects = Array((rejects + other.rejects).sorted { $0.line < $1.line }.prefix(rejectsKeptMax))
    ackLatency.merge(other.ackLatency)
  }
}

public struct DeviceReject: Hashable, Sendable {
  /// The line that the caller gave with the event.
  public var line: Int
  /// The server's code, or the client's own: `too_big`, `not_utf8`, `not_read`.
  public var code: String
  public var detail: String

  public init(line: Int, code: String, detail: String) {
    self.line = line
    self.code = code
    self.detail = detail
  }
}

/// The last durable sequence of a source.
public struct ResumePosition: Hashable, Sendable {
  public var epoch: UInt64
  public var sequence: UInt64

  public init(epoch: UInt64 = 0, sequence: UInt64 = 0) {
    self.epoch = epoch
    self.sequence = sequence
  }
}
