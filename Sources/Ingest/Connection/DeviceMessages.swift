import Events
import NIOCore
import WebSocket

/// The texts of `penstock.v1` from server to device.
enum DeviceMessages {
  static func welcome(
    configuration: IngestConfiguration, sources: [String], positions: [UTF8Text: ProducerPosition]
  ) -> [UInt8] {
    var resume = JSONObject()
    var told: Set<UTF8Text> = []
    for source in sources.lazy.map({ UTF8Text($0) }) {
      guard let position = positions[source], told.insert(source).inserted else { continue }
      resume.append(
        source.string, ["epoch": .number(String(position.epoch)), "sequence": .number(String(position.sequence))])
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

  /// Writes a frame with an acknowledgement by hand and in place: there may be hundreds of thousands a second.
  static func writeAck(
    _ totals: MessageTracker.Totals, _ offsets: [(partition: PartitionID, next: Offset)], to buffer: inout ByteBuffer
  ) {
    // At most 20 digits each; the frame's header comes before.
    let bytesMax = 4 + 192 + 48 * offsets.count
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { frame in
      var text = FixedText(frame)
      text.at = 4
      text.append("{\"kind\":\"ack\",\"messages\":")
      text.append(decimal: totals.messages)
      text.append(",\"appended\":")
      text.append(decimal: totals.appended)
      text.append(",\"duplicates\":")
      text.append(decimal: totals.duplicates)
      text.append(",\"rejected\":")
      text.append(decimal: totals.rejected)
      text.append(",\"offsets\":{")
      for index in offsets.indices {
        text.append(index == 0 ? "\"" : ",\"")
        text.append(decimal: offsets[index].partition.index)
        text.append("\":")
        text.append(decimal: Int(offsets[index].next.rawValue))
      }
      text.append("}}")
      return text.endWebSocketText()
    }
  }

  /// - Parameter count: Above 1, the number of events of the message that this one stands for, itself included.
  static func reject(_ reject: EventReject, message: Int, event: Int?, count: Int) -> [UInt8] {
    var members = JSONObject()
    members["kind"] = .string("reject")
    members["message"] = .int(Int64(message))
    members["event"] = event.map { .int(Int64($0)) } ?? .null
    members["code"] = .string(reject.code.rawValue)
    members["detail"] = .string(reject.detail)
    if count > 1 {
      members["detail"] = .string(
        "\(reject.detail); \(count - 1) more events of this message were rejected, for whatever reason, and are not told one by one"
      )
      members["count"] = .int(Int64(count))
    }
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    return bytes
  }

  /// The duration in the configuration's form: `30s`, else in milliseconds.
  private static func text(of duration: Duration) -> String {
    let milliseconds = Int64(duration / .milliseconds(1))
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
  }
}

extension ByteBuffer {
  mutating func writeWebSocketText(_ text: [UInt8]) {
    text.withUnsafeBytes { writeWebSocketFrame(.text, $0) }
  }
}
