import Events
import NIOCore
import WebSocket

/// The texts of `penstock.v1` from server to device.
enum DeviceMessages {
  static func welcome(
    configuration: IngestConfiguration, sources: [String], positions: [String: ProducerPosition]
  ) -> [UInt8] {
    var resume = JSONObject()
    for source in sources {
      guard let position = positions[source] else { continue }
      resume[source] = [
        "epoch": .number(String(position.epoch)), "sequence": .number(String(position.sequence)),
      ]
    }
    let welcome: JSONValue = [
      "kind": .string("welcome"), "heartbeat": .string(text(of: configuration.heartbeat)),
      "limits": [
        "message_bytes": .int(Int64(configuration.messageBytesMax)),
        "unacked_messages": .int(Int64(configuration.unackedMessagesMax)),
      ],
      "resume": .object(resume),
    ]
    var bytes: [UInt8] = []
    welcome.write(to: &bytes)
    return bytes
  }

  /// Written by hand: there may be hundreds of thousands a second.
  static func ack(_ totals: MessageTracker.Totals, _ offsets: [(partition: PartitionID, next: Offset)]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(128)
    bytes.append(staticText: "{\"kind\":\"ack\",\"messages\":")
    bytes.append(decimal: totals.messages)
    bytes.append(staticText: ",\"appended\":")
    bytes.append(decimal: totals.appended)
    bytes.append(staticText: ",\"duplicates\":")
    bytes.append(decimal: totals.duplicates)
    bytes.append(staticText: ",\"rejected\":")
    bytes.append(decimal: totals.rejected)
    bytes.append(staticText: ",\"offsets\":{")
    for (index, entry) in offsets.enumerated() {
      bytes.append(staticText: index == 0 ? "\"" : ",\"")
      bytes.append(decimal: entry.partition.index)
      bytes.append(staticText: "\":")
      bytes.append(decimal: Int(entry.next.rawValue))
    }
    bytes.append(staticText: "}}")
    return bytes
  }

  static func reject(message: Int, event: Int?, code: RejectCode, detail: String) -> [UInt8] {
    let reject: JSONValue = [
      "kind": .string("reject"), "message": .int(Int64(message)), "event": event.map { .int(Int64($0)) } ?? .null,
      "code": .string(code.rawValue), "detail": .string(detail),
    ]
    var bytes: [UInt8] = []
    reject.write(to: &bytes)
    return bytes
  }

  /// As the configuration has it: `30s`, else in milliseconds.
  private static func text(of duration: Duration) -> String {
    let milliseconds = Int64(duration / .milliseconds(1))
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
  }
}

extension [UInt8] {
  fileprivate mutating func append(staticText text: StaticString) {
    append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  fileprivate mutating func append(decimal number: Int) {
    guard number >= 10 else {
      append(0x30 + UInt8(Swift.max(number, 0)))
      return
    }
    let start = count
    var rest = number
    while rest > 0 {
      append(0x30 + UInt8(rest % 10))
      rest /= 10
    }
    self[start...].reverse()
  }
}

extension ByteBuffer {
  mutating func writeWebSocketText(_ text: [UInt8]) {
    text.withUnsafeBytes { writeWebSocketFrame(.text, $0) }
  }
}
