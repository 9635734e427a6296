import WebSocket

/// Gathers lines into messages, one unfinished message for each connection; a source's lines go to one connection.
struct LineSpreader {
  private let batch: Int
  private let bytesGoal: Int
  private let rejectsKeptMax: Int
  private var lanes: [DeviceMessage]
  private(set) var ready: [(lane: Int, message: DeviceMessage)] = []
  /// Lines that could not be sent.
  private(set) var rejected = 0
  private(set) var rejects: [DeviceReject] = []

  init(lanes: Int, batch: Int, bytesGoal: Int, rejectsKeptMax: Int) {
    self.batch = batch
    self.bytesGoal = bytesGoal
    self.rejectsKeptMax = rejectsKeptMax
    self.lanes = Array(repeating: DeviceMessage(), count: lanes)
  }

  mutating func takeReady() -> [(lane: Int, message: DeviceMessage)] {
    defer { ready.removeAll(keepingCapacity: true) }
    return ready
  }

  /// - Parameter line: Nil for a line that is too long. Empty lines are skipped.
  mutating func add(_ line: UnsafeRawBufferPointer?, number: Int) {
    guard let line else {
      reject(number, "too_big", "a line has \(EventFileSender.lineBytesMax) bytes at most")
      return
    }
    guard !line.isEmpty else { return }
    guard UTF8Check.isValid(line) else {
      reject(number, "not_utf8", "the line is not UTF-8")
      return
    }
    guard let facts = EventFacts(line) else {
      // A line that is no event must not spoil the others' message. It goes alone, so that the server's reject names it.
      flush(0)
      var message = DeviceMessage()
      message.append(line, nil, line: number)
      ready.append((0, message))
      return
    }
    let lane = Int(facts.sourceHash % UInt64(lanes.count))
    lanes[lane].append(line, facts, line: number)
    if lanes[lane].eventCount >= batch || lanes[lane].byteCount >= bytesGoal { flush(lane) }
  }

  mutating func flushAll() { for lane in lanes.indices { flush(lane) } }

  private mutating func flush(_ lane: Int) {
    guard lanes[lane].eventCount > 0 else { return }
    ready.append((lane, lanes[lane]))
    lanes[lane] = DeviceMessage(likeSizeOf: lanes[lane])
  }

  private mutating func reject(_ line: Int, _ code: String, _ detail: String) {
    rejected += 1
    if rejects.count < rejectsKeptMax { rejects.append(DeviceReject(line: line, code: code, detail: detail)) }
  }
}
