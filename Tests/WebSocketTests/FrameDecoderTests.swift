import NIOCore
import Testing

@testable import WebSocket

@Suite("Frame decoder")
struct FrameDecoderTests {
  /// One of everything that a peer may send, and what it means.
  static func session(key: [UInt8]?) -> (bytes: [UInt8], events: [Seen]) {
    let long = (0..<300).map { UInt8(97 + $0 % 26) }
    let euro = Array("€ und 😀".utf8)
    var bytes: [UInt8] = []
    bytes += frame(0x81, Array("hello".utf8), key: key)
    bytes += frame(0x82, long, key: key)
    bytes += frame(0x81, [], key: key)
    bytes += frame(0x89, [1, 2, 3], key: key)
    bytes += frame(0x8A, [], key: key)
    // Fragments that cut a character, with an empty one and a ping between them.
    bytes += frame(0x01, Array(euro[..<2]), key: key)
    bytes += frame(0x89, Array(long[..<125]), key: key)
    bytes += frame(0x00, [], key: key)
    bytes += frame(0x00, Array(euro[2..<10]), key: key)
    bytes += frame(0x80, Array(euro[10...]), key: key)
    bytes += frame(0x02, [], key: key)
    bytes += frame(0x80, [], key: key)
    bytes += frame(0x81, euro, key: key)
    bytes += frame(0x88, closePayload(1001, Array("bye €".utf8)), key: key)
    let events: [Seen] = [
      .text("hello"), .message(.binary, wasCompressed: false, long), .text(""), .ping([1, 2, 3]), .pong([]),
      .ping(Array(long[..<125])), .text("€ und 😀"), .message(.binary, wasCompressed: false, []), .text("€ und 😀"),
      .close(WebSocketClose(code: .goingAway, reason: "bye €")),
    ]
    return (bytes, events)
  }

  static let keys: [(WebSocketRole, [UInt8]?)] = [(.server, [0x37, 0xFA, 0x21, 0x3D]), (.client, nil)]

  @Test("a session read whole, byte by byte, and cut at every byte gives the same events", arguments: keys)
  func everyCut(role: WebSocketRole, key: [UInt8]?) {
    let (bytes, events) = Self.session(key: key)
    #expect(decode([bytes], role: role) == Outcome(events: events, bytesRead: bytes.count))
    #expect(decode(bytewise(bytes), role: role) == Outcome(events: events, bytesRead: bytes.count))
    for cut in 0...bytes.count {
      let outcome = decode([Array(bytes[..<cut]), Array(bytes[cut...])], role: role)
      #expect(outcome == Outcome(events: events, bytesRead: bytes.count), "cut at \(cut)")
    }
  }

  @Test("a session in chunks of every size gives the same events", arguments: keys)
  func everyChunkSize(role: WebSocketRole, key: [UInt8]?) {
    let (bytes, events) = Self.session(key: key)
    for size in 1...bytes.count {
      let chunks = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
      #expect(decode(chunks, role: role).events == events, "chunks of \(size)")
    }
  }

  @Test("a consumer that stops after each event and goes on later misses nothing")
  func pausing() throws {
    let (bytes, events) = Self.session(key: [1, 2, 3, 4])
    let scratch = WebSocketScratch()
    var decoder = WebSocketFrameDecoder(role: .server, limits: smallLimits)
    var held = ByteBuffer(bytes: bytes)
    var readable = held.readableBytes
    var count = 0
    while try decoder.next(&held, scratch) != nil {
      count += 1
      #expect(held.readableBytes < readable)
      readable = held.readableBytes
      // The paused consumer's bytes move to another buffer, as they may.
      held = ByteBuffer(bytes: Array(held.readableBytesView))
    }
    #expect(count == events.count)
    #expect(held.readableBytes == 0)
  }

  @Test("after a close frame everything is dropped")
  func afterClose() {
    let bytes = frame(0x88, closePayload(1000)) + frame(0x81, [65]) + [0xFF, 0xFF, 0xFF]
    #expect(decode([bytes]).events == [.close(WebSocketClose(code: .normal, reason: ""))])
    #expect(
      decode(bytewise(bytes))
        == Outcome(
          events: [.close(WebSocketClose(code: .normal, reason: ""))], bytesRead: bytes.count))
  }

  @Test("an empty close frame has no code")
  func emptyClose() {
    #expect(decode([frame(0x88)]).events == [.close(WebSocketClose(code: nil, reason: ""))])
  }

  @Test("every close code that may be sent is taken, every other refused with 1002")
  func closeCodes() {
    for code in UInt16.min...UInt16.max {
      let mayBeSent =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].contains(code)
        || (3000...4999).contains(code)
      // The first 5100 through the decoder, the rest, all refused, by the rule alone.
      #expect(WebSocketCloseCode(rawValue: code).isAllowedOnWire == mayBeSent, "\(code)")
      if code > 5100 { continue }
      let outcome = decode([frame(0x88, closePayload(code))])
      if mayBeSent {
        #expect(outcome.events == [.close(WebSocketClose(code: .init(rawValue: code), reason: ""))], "\(code)")
      } else {
        #expect(outcome.violation == .closeCodeInvalid, "\(code)")
      }
    }
  }

  @Test("between messages a connection holds no buffer, after a message in pieces neither")
  func holdsNothing() throws {
    let scratch = WebSocketScratch()
    var decoder = WebSocketFrameDecoder(role: .server, limits: smallLimits)
    var outcome = Outcome()
    let big = [UInt8](repeating: 65, count: 500_000)
    for chunk in [Array(frame(0x82, big)[..<1000]), Array(frame(0x82, big)[1000...]), Array(frame(0x89, [1])[..<3])] {
      try feed(chunk, to: &decoder, scratch, &outcome)
    }
    #expect(outcome.events == [.message(.binary, wasCompressed: false, big)])
    // Read first: the macro would copy the decoder.
    let storageBytes = decoder.messageStorageBytes
    #expect(storageBytes == 0)
    #expect(scratch.keptBytes <= 8 * 256 * 1024)
  }

  @Test("a header that promises much makes no buffer grow before the bytes come")
  func promisesCostNothing() throws {
    let scratch = WebSocketScratch()
    var decoder = WebSocketFrameDecoder(role: .server, limits: WebSocketLimits(messageBytesMax: 1 << 30))
    var outcome = Outcome()
    try feed(frame(0x82, [1, 2, 3], length: 1 << 30), to: &decoder, scratch, &outcome)
    let storageBytes = decoder.messageStorageBytes
    let isInsideMessage = decoder.isInsideMessage
    #expect(storageBytes <= 64 * 1024)
    #expect(outcome.events.isEmpty)
    #expect(isInsideMessage)
  }
}
