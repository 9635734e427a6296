import NIOCore
import WebSocket

@testable import Ingest

/// Keeps what a session says, as text: no socket is needed.
final class RecordingTransport: SessionTransport {
  var isFromThisMachine: Bool { true }
  let session: WebSocketSession
  private(set) var sent: [String] = []
  private(set) var changes = 0

  init(_ session: WebSocketSession) { self.session = session }

  /// The bytes that the peer does not take; nil while it takes all.
  var unsent: Int?
  var unsentBytes: Int { unsent ?? 0 }

  func sessionChanged() {
    changes += 1
    while unsent == nil, session.outgoing.readableBytes > 0 { send() }
  }

  private func send() {
    session.sendOutgoing { bytes in
      var rest = bytes
      while rest.count >= 2 {
        var head = 2, length = Int(rest[1])
        if length == 126 {
          head = 4
          length = Int(rest[2]) << 8 | Int(rest[3])
        }
        let payload = rest[head..<head + length]
        switch rest[0] & 15 {
        case 8: sent.append("close \(Int(payload.first ?? 0) << 8 | Int(payload.dropFirst().first ?? 0))")
        case 9: sent.append("ping")
        case 10: sent.append("pong")
        default: sent.append(String(decoding: payload, as: UTF8.self))
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[(head + length)...])
      }
    }
  }

  func receive(_ opcode: WebSocketOpcode, _ text: String) { receive(opcode, Array(text.utf8)) }

  func receive(_ opcode: WebSocketOpcode, _ payload: [UInt8]) {
    var frame = ByteBuffer()
    payload.withUnsafeBytes { frame.writeWebSocketFrame(opcode, $0, maskKey: 0x1234_5678) }
    frame.withUnsafeReadableBytes { session.receive($0) }
    sessionChanged()
  }
}
