/// Messages that are not acknowledged, oldest first; the first `sentCount` of them were sent on the present connection.
struct MessageWindow {
  private var messages: [DeviceMessage] = []
  private var start = 0
  private(set) var byteCount = 0
  private(set) var sentCount = 0

  var count: Int { messages.count - start }
  var unsentCount: Int { count - sentCount }

  mutating func append(_ message: DeviceMessage) {
    messages.append(message)
    byteCount += message.byteCount
  }

  /// Marks the next message to send as sent, and lends it.
  mutating func sendNext(_ body: (inout DeviceMessage) -> Void) {
    body(&messages[start + sentCount])
    sentCount += 1
  }

  /// The next message to send, without sending it.
  var nextUnsent: DeviceMessage { messages[start + sentCount] }

  mutating func replaceNextUnsent(with others: [DeviceMessage]) {
    byteCount -= messages[start + sentCount].byteCount
    for other in others { byteCount += other.byteCount }
    messages.replaceSubrange(start + sentCount...start + sentCount, with: others)
  }

  /// - Parameter index: The message's number from the oldest, 0 ..< count.
  mutating func update(_ index: Int, _ body: (inout DeviceMessage) -> Void) { body(&messages[start + index]) }

  /// Removes the oldest messages, which were acknowledged.
  mutating func acknowledge(_ number: Int, _ body: (DeviceMessage) -> Void) {
    precondition(number <= sentCount, "more acknowledged than sent")
    for index in start..<start + number {
      body(messages[index])
      byteCount -= messages[index].byteCount
      messages[index] = DeviceMessage()
    }
    start += number
    sentCount -= number
    if start == messages.count {
      messages.removeAll(keepingCapacity: true)
      start = 0
    } else if start > 1024 {
      messages.removeFirst(start)
      start = 0
    }
  }

  func forEach(_ body: (DeviceMessage) -> Void) { for message in messages[start...] { body(message) } }

  /// The connection is gone: all messages must be sent again.
  mutating func markUnsent() { sentCount = 0 }

  /// Rewrites each message; messages left without events are removed. To be called only while none is sent.
  mutating func rewrite(_ body: (DeviceMessage) -> DeviceMessage) {
    precondition(sentCount == 0, "rewritten while on its way")
    messages = messages[start...].map(body).filter { $0.eventCount > 0 }
    start = 0
    byteCount = messages.reduce(0) { $0 + $1.byteCount }
  }
}
