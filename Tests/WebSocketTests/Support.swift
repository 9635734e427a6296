import NIOCore

@testable import WebSocket

/// An event with its bytes copied out.
enum Seen: Equatable {
  case message(WebSocketMessage.Kind, wasCompressed: Bool, [UInt8])
  case ping([UInt8])
  case pong([UInt8])
  case close(WebSocketClose)

  static func text(_ text: String, wasCompressed: Bool = false) -> Seen {
    .message(.text, wasCompressed: wasCompressed, Array(text.utf8))
  }
}

/// Everything a decoder made of some bytes.
struct Outcome: Equatable {
  var events: [Seen] = []
  var violation: WebSocketViolation?
  /// Bytes given to the decoder up to and including the chunk that it failed in.
  var bytesRead = 0
  /// Whether every message was followed by zeros.
  var isPadded = true
}

let smallLimits = WebSocketLimits(messageBytesMax: 1 << 20)

/// Feeds the chunks to one decoder, each in a buffer of exactly its size.
func decode(
  _ chunks: [[UInt8]], role: WebSocketRole = .server, limits: WebSocketLimits = smallLimits,
  deflate: WebSocketDeflateParameters? = nil, scratch: WebSocketScratch = WebSocketScratch()
) -> Outcome {
  var decoder = WebSocketFrameDecoder(role: role, limits: limits, deflate: deflate)
  var outcome = Outcome()
  for chunk in chunks {
    outcome.bytesRead += chunk.count
    do throws(WebSocketViolation) {
      try feed(chunk, to: &decoder, scratch, &outcome)
    } catch {
      outcome.violation = error
      return outcome
    }
  }
  return outcome
}

func feed(
  _ chunk: [UInt8], to decoder: inout WebSocketFrameDecoder, _ scratch: WebSocketScratch, _ outcome: inout Outcome
) throws(WebSocketViolation) {
  var buffer = ByteBuffer(bytes: chunk)
  while let event = try decoder.next(&buffer, scratch) {
    switch event {
    case .message(let message):
      outcome.events.append(.message(message.kind, wasCompressed: message.wasCompressed, Array(message.payload)))
      if let base = message.payload.baseAddress {
        let padding = UnsafeRawBufferPointer(start: base + message.payload.count, count: WebSocketScratch.paddingBytes)
        if !padding.allSatisfy({ $0 == 0 }) { outcome.isPadded = false }
      } else {
        outcome.isPadded = false
      }
    case .ping(let payload): outcome.events.append(.ping(Array(payload)))
    case .pong(let payload): outcome.events.append(.pong(Array(payload)))
    case .close(let close): outcome.events.append(.close(close))
    }
  }
}

func bytewise(_ bytes: [UInt8]) -> [[UInt8]] { bytes.map { [$0] } }

/// A frame built the plain way, a byte at a time, apart from the code under test.
///
/// - Parameters:
///   - first: FIN, reserved bits and opcode.
///   - length: The length that the header states; by default, the true one.
func frame(
  _ first: UInt8, _ payload: [UInt8] = [], key: [UInt8]? = [0x37, 0xFA, 0x21, 0x3D], length: UInt64? = nil,
  lengthBytes: Int? = nil
) -> [UInt8] {
  let length = length ?? UInt64(payload.count)
  let lengthBytes = lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
  var bytes = [first]
  let maskBit: UInt8 = key == nil ? 0 : 0x80
  switch lengthBytes {
  case 0: bytes.append(maskBit | UInt8(length))
  case 2: bytes.append(maskBit | 126)
  default: bytes.append(maskBit | 127)
  }
  for at in stride(from: lengthBytes - 1, through: 0, by: -1) { bytes.append(UInt8(truncatingIfNeeded: length >> (8 * at))) }
  guard let key else { return bytes + payload }
  bytes += key
  for (at, byte) in payload.enumerated() { bytes.append(byte ^ key[at % 4]) }
  return bytes
}

func closePayload(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 0xFF)] + reason }
