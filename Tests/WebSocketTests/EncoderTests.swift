import NIOCore
import TestSupport
import Testing

@testable import WebSocket

@Suite("Writing frames")
struct EncoderTests {
  @Test("frames of every header length are written as built by hand, masked or not")
  func headerLengths() {
    for count in [0, 1, 2, 125, 126, 127, 200, 65_535, 65_536, 70_000] {
      let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
      for key in [nil, [0x11, 0x22, 0x33, 0x44]] as [[UInt8]?] {
        var written = ByteBuffer()
        written.writeInteger(UInt8(7))
        payload.withUnsafeBytes { written.writeWebSocketFrame(.binary, $0, maskKey: key == nil ? nil : 0x4433_2211) }
        #expect(Array(written.readableBytesView) == [7] + frame(0x82, payload, key: key), "\(count) bytes")
      }
    }
  }

  @Test("a close frame's reason is cut between characters to fit")
  func closeReason() {
    for padding in 0...6 {
      let reason = String(repeating: "a", count: padding) + String(repeating: "€", count: 60)
      var written = ByteBuffer()
      written.writeWebSocketClose(.policyViolation, reason: reason)
      let outcome = decode([Array(written.readableBytesView)], role: .client)
      guard case .close(let close) = outcome.events.first else {
        Issue.record("no close: \(outcome)")
        continue
      }
      #expect(close.code == .policyViolation)
      #expect(reason.hasPrefix(close.reason))
      #expect((121...123).contains(close.reason.utf8.count))
    }
    var empty = ByteBuffer()
    empty.writeWebSocketClose(nil, reason: "not sent")
    #expect(Array(empty.readableBytesView) == [0x88, 0])
  }

  @Test("mask keys differ from one another")
  func maskKeys() {
    var keys = WebSocketMaskKeys()
    var seen = Set<UInt32>()
    for _ in 0..<1000 { seen.insert(keys.next()) }
    #expect(seen.count >= 999)
  }

  @Test(
    "random sessions, fragmented, masked, compressed, interleaved and cut anywhere, come out as they went in",
    arguments: 0..<40 as Range<UInt64>)
  func roundTrip(round: UInt64) {
    let seed = 0x5EED_1000 + round
    var random = SeededGenerator(seed: seed)
    let role: WebSocketRole = Bool.random(using: &random) ? .server : .client
    let parameters =
      Bool.random(using: &random)
      ? WebSocketDeflateParameters(
        serverNoContextTakeover: Bool.random(using: &random), clientNoContextTakeover: Bool.random(using: &random),
        serverMaxWindowBits: Int.random(in: 8...15, using: &random),
        clientMaxWindowBits: Int.random(in: 8...15, using: &random)) : nil
    var settings = WebSocketDeflateSettings()
    settings.compressBytesMin = Int.random(in: 0...50, using: &random)
    let scratch = WebSocketScratch()
    var encoder = WebSocketMessageEncoder(role: role, deflate: parameters, settings: settings)
    var written = ByteBuffer()
    var sent: [Seen] = []

    func key(_ encoder: inout WebSocketMessageEncoder) -> UInt32? { encoder.nextMaskKey() }
    for _ in 0..<15 {
      let isText = Bool.random(using: &random)
      let payload = Self.payload(isText: isText, &random)
      let kind: WebSocketMessage.Kind = isText ? .text : .binary
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        let ping = Array(payload.prefix(125))
        let maskKey = key(&encoder)
        ping.withUnsafeBytes { written.writeWebSocketFrame(.ping, $0, maskKey: maskKey) }
        sent.append(.ping(ping))
      case 1, 2:
        // Fragments, cut anywhere, with pongs between them.
        var at = 0
        var isFirst = true
        repeat {
          let end =
            Int.random(in: 0..<5, using: &random) == 0
            ? payload.count : Int.random(in: at...payload.count, using: &random)
          let isFinal = end == payload.count
          let opcode: WebSocketOpcode = isFirst ? (isText ? .text : .binary) : .continuation
          let maskKey = key(&encoder)
          payload[at..<end].withUnsafeBytes {
            written.writeWebSocketFrame(opcode, $0, isFinal: isFinal, maskKey: maskKey)
          }
          at = end
          isFirst = false
          if !isFinal && Bool.random(using: &random) {
            let maskKey = key(&encoder)
            written.writeWebSocketFrame(.pong, ByteBuffer(bytes: [1, 2]), maskKey: maskKey)
            sent.append(.pong([1, 2]))
          }
          if isFinal { break }
        } while true
        sent.append(.message(kind, wasCompressed: false, payload))
      default:
        payload.withUnsafeBytes { encoder.write(kind, $0, scratch, into: &written) }
        let isCompressed = parameters != nil && payload.count >= settings.compressBytesMin
        sent.append(.message(kind, wasCompressed: isCompressed, payload))
      }
    }
    var chunks: [[UInt8]] = []
    var rest = Array(written.readableBytesView)[...]
    let largest = (rest.count < 4000 ? [1, 10, 1000] : [500, 5000, 100_000]).randomElement(using: &random) ?? 1
    while !rest.isEmpty {
      let count = Int.random(in: 1...min(largest, rest.count), using: &random)
      chunks.append(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    let outcome = decode(chunks, role: role == .server ? .client : .server, deflate: parameters)
    #expect(outcome == Outcome(events: sent, bytesRead: written.readableBytes), "seed \(seed)")
  }

  private static let textWords = ["plain ascii text, the most of it ", "é", "€", "😀", "{\"id\":1}"].map { Array($0.utf8) }
  private static let binaryWords = (1...20).map { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 91 &+ count) } }

  private static func payload(isText: Bool, _ random: inout SeededGenerator) -> [UInt8] {
    let count = [0, 5, 130, 130, 130, 3000, 70_000].randomElement(using: &random) ?? 0
    let length = Int.random(in: 0...count, using: &random)
    let words = isText ? textWords : binaryWords
    var bytes: [UInt8] = []
    while bytes.count < length { bytes += words[Int(random.next() % UInt64(words.count))] }
    return bytes
  }
}
