import Events

/// One `POST /v1/events`: a tracker whose only message is the body.
final class RequestTracker: MessageTracker {
  private var rejected: [JSONValue] = []
  /// The number of rejected events that are not in the list.
  private var rejectedMore = 0
  private var forbidden = 0
  private var answer: ((RequestTracker) -> Void)?

  init(answer: @escaping (RequestTracker) -> Void) { self.answer = answer }

  override func note(_ reject: EventReject, event: Int?, of message: Int) {
    if reject.code == .forbiddenSource { forbidden += 1 }
    super.note(reject, event: event, of: message)
  }

  override func tell(_ reject: EventReject, event: Int?, of message: Int, count: Int) {
    guard count == 1 else {
      rejectedMore = count
      return
    }
    rejected.append([
      "event": event.map { .int(Int64($0)) } ?? .null, "code": .string(reject.code.rawValue), "detail": .string(reject.detail),
    ])
  }

  /// Called with the number of events that waited for the log when a body that is too long for one turn has been read.
  var whenRead: ((Int) -> Void)?

  override func messageRead(queued: Int) {
    whenRead?(queued)
    whenRead = nil
    answersMayBeReady()
  }

  override func answersMayBeReady() {
    guard advance() || failure != nil, let answer else { return }
    self.answer = nil
    answer(self)
  }

  /// Whether the answer is still to come.
  var isWaiting: Bool { answer != nil }

  /// From now on the log's answer is ignored.
  /// - Returns: False if the answer has been given.
  func giveUp() -> Bool {
    defer { answer = nil }
    return isWaiting
  }

  var isEveryEventRejected: Bool { totals.rejected > 0 && totals.appended + totals.duplicates == 0 }

  /// Whether the device sent only events that it may not send.
  var isEveryEventForbidden: Bool { isEveryEventRejected && forbidden == totals.rejected }

  /// `{"appended":…,"duplicates":…,"rejected":[…],"offsets":{…}}`; with `rejected_more` where the list does not hold all.
  var result: JSONObject {
    var positions = JSONObject()
    for entry in offsets { positions[String(entry.partition.rawValue)] = .int(entry.next.rawValue) }
    var members = JSONObject()
    members["appended"] = .int(Int64(totals.appended))
    members["duplicates"] = .int(Int64(totals.duplicates))
    members["rejected"] = .array(rejected)
    if rejectedMore > 0 { members["rejected_more"] = .int(Int64(rejectedMore)) }
    members["offsets"] = .object(positions)
    return members
  }
}
