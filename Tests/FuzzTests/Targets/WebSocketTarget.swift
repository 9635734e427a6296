import NIOCore
import WebSocket

extension FuzzTarget {
  /// The frame decoder, both roles, with and without compression. The first byte chooses those, the second how the rest is cut
  /// into reads.
  ///
  /// However the bytes are cut, the same comes out.
  static let webSocket = FuzzTarget(
    name: "websocket",
    dictionary: [
      [0x81, 0x80, 0, 0, 0, 0], [0xC1, 0x80, 0, 0, 0, 0], [0x01, 0x80], [0x80, 0x80], [0x88, 0x82, 0, 0, 0, 0, 3, 0xE8],
      [0x89, 0x80],
      [0x8A, 0x80], [0xFE], [0xFF], [0x00, 0x00, 0xFF, 0xFF], [0xF0, 0x90, 0x80, 0x80], [0xED, 0xA0, 0x80],
      [0xCA, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
    ]
  ) {
    // "Hello" in each role, plain and compressed (RFC 7692, 7.2.3.1), whole and in pieces, with a ping between and a close
    // behind.
    [
      [0, 3, 0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58],
      [1, 3, 0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F],
      [3, 1, 0xC1, 0x07, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xC1, 0x05, 0xF2, 0x00, 0x11, 0x00, 0x00],
      [1, 2, 0x01, 0x03, 0x48, 0x65, 0x6C, 0x89, 0x02, 0x68, 0x69, 0x80, 0x02, 0x6C, 0x6F, 0x88, 0x04, 0x03, 0xE8, 0x6F, 0x6B],
    ]
  } run: { input in
    guard input.count > 2 else { return }
    let role: WebSocketRole = input[0] & 1 == 0 ? .server : .client
    let isDeflated = input[0] & 2 != 0
    let whole = events(Array(input[2...]), role, isDeflated, chunk: .max)
    let cut = events(Array(input[2...]), role, isDeflated, chunk: Int(input[1] % 16) + 1)
    guard whole == cut else { throw FuzzFinding("\(whole) in one read, \(cut) in reads of \(input[1] % 16 + 1)") }
  }

  private static func events(_ bytes: [UInt8], _ role: WebSocketRole, _ isDeflated: Bool, chunk: Int) -> [String] {
    let settings = WebSocketDeflateSettings()
    let deflate = isDeflated ? settings.accept(["permessage-deflate"])?.parameters : nil
    var decoder = WebSocketFrameDecoder(
      role: role, limits: WebSocketLimits(messageBytesMax: 1 << 16, fragmentsMax: 100), deflate: deflate)
    let scratch = WebSocketScratch()
    var result: [String] = []
    var isBadText = false
    defer { precondition(!isBadText, "text that is not UTF-8") }
    var rest = bytes[...]
    while !rest.isEmpty {
      var read = ByteBuffer(bytes: rest.prefix(chunk))
      rest = rest.dropFirst(chunk)
      do throws(WebSocketViolation) {
        while let event = try decoder.next(&read, scratch) {
          switch event {
          case .message(let message):
            if message.kind == .text, String(validating: message.payload, as: UTF8.self) == nil { isBadText = true }
            result.append("\(message.kind) \(Array(message.payload))")
          case .ping(let payload): result.append("ping \(Array(payload))")
          case .pong(let payload): result.append("pong \(Array(payload))")
          case .close(let close): result.append("close \(close)")
          }
        }
      } catch {
        result.append("violation \(error.closeCode)")
        return result
      }
    }
    return result
  }
}
