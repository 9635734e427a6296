import Events

/// One `POST /v1/events`: a tracker whose only message is the body.
final class RequestTracker: MessageTracker {
  private var rejected: [JSONValue] = []
  private var forbidden = 0
  private var answer: ((RequestTracker) -> Void)?

  init(answer: @escaping (RequestTracker) -> Void) { self.answer = answer }

  func reject(event: Int?, code: RejectCode, detail: String) {
    if code == .forbiddenSource { forbidden += 1 }
    rejected.append([
      "event": event.map { .int(Int64($0)) } ?? .null, "code": .string(code.rawValue), "detail": .string(detail),
    ])
  }

  override func fenced(message: Int, event: Int, currentEpoch: UInt64) {
    reject(event: event, code: .fenced, detail: "the source's epoch is \(currentEpoch) now")
  }

  override func answersMayBeReady() {
    guard advance() || failure != nil, let answer else { return }
    self.answer = nil
    answer(self)
  }

  var isEveryEventRejected: Bool { !rejected.isEmpty && totals.appended + totals.duplicates == 0 }

  /// Whether the device sent nothing but what it may not.
  var isEveryEventForbidden: Bool { isEveryEventRejected && forbidden == rejected.count }

  /// `{"appended":…,"duplicates":…,"rejected":[…],"offsets":{…}}`
  var result: JSONObject {
    var positions = JSONObject()
    for entry in offsets { positions[String(entry.partition.rawValue)] = .int(entry.next.rawValue) }
    var members = JSONObject()
    members["appended"] = .int(Int64(totals.appended))
    members["duplicates"] = .int(Int64(totals.duplicates))
    members["rejected"] = .array(rejected)
    members["offsets"] = .object(positions)
    return members
  }
}
