import Events
import Logging
import NIOCore
import NIOEmbedded
import Serving
import Testing
import WebSocket

@testable import Ingest

@Suite("A session, whatever carries it")
struct WebSocketSessionTests {
  let loop = EmbeddedEventLoop()
  let log = HeldLog(partitionCount: 1)

  private func open(
    unackedMessagesMax: Int = 1024, subprotocol: String? = nil, deflate: WebSocketDeflateParameters? = nil,
    on stepped: SteppedLoop? = nil
  ) -> RecordingTransport {
    let ingest = IngestLoop(
      configuration: IngestConfiguration(unackedMessagesMax: unackedMessagesMax), log: log,
      loop: stepped ?? EventLoopThread(loop), counters: IngestCounters(), gate: .open,
      limits: DeviceLimits(connectionsMax: 1, eventsPerSecondMax: nil), bodies: AnswerThreads(label: "test", threads: 1),
      logger: Logger(label: "test"))
    let session = WebSocketSession(
      ingest: ingest, agreement: WebSocketAgreement(subprotocol: subprotocol, deflate: deflate), sources: [], admission: DeviceAdmission())
    let transport = RecordingTransport(session)
    session.start(on: transport)
    transport.sessionChanged()
    return transport
  }

  private let event = #"{"source":"a","type":"t"}"#

  @Test("welcomes, and acknowledges what is synced, in one frame for all of it")
  func acknowledging() {
    let transport = open()
    #expect(transport.sent.count == 1 && transport.sent[0].hasPrefix(#"{"kind":"welcome""#))
    for _ in 0..<3 { transport.receive(.text, event) }
    loop.run()
    #expect(transport.sent.count == 1)
    log.complete(0)
    loop.run()
    #expect(
      transport.sent.dropFirst() == [
        #"{"kind":"ack","messages":3,"appended":3,"duplicates":0,"rejected":0,"offsets":{"0":3}}"#
      ])
  }

  @Test("says which event of which message is rejected before it acknowledges the message")
  func rejecting() {
    let transport = open()
    transport.receive(.text, "[\(event),{}]")
    loop.run()
    log.complete(0)
    loop.run()
    #expect(transport.sent.count == 3)
    #expect(transport.sent[1].hasPrefix(#"{"kind":"reject","message":1,"event":1,"code":"missing_source""#))
    #expect(transport.sent[2].contains(#""messages":1,"appended":1,"duplicates":0,"rejected":1"#))
  }

  @Test("wants no more bytes at the bound on unacknowledged messages, keeps those it was given, and goes on when acknowledged")
  func bound() {
    let transport = open(unackedMessagesMax: 2)
    var frames = ByteBuffer()
    for _ in 0..<5 { Array(event.utf8).withUnsafeBytes { frames.writeWebSocketFrame(.text, $0, maskKey: 7) } }
    frames.withUnsafeReadableBytes { transport.session.receive($0) }
    #expect(!transport.session.mayRead)
    #expect(transport.session.openCount == 2)
    for expected in [2, 4, 5] {
      loop.run()
      log.complete(0)
      loop.run()
      #expect(transport.sent.last?.contains("\"messages\":\(expected),") == true)
    }
    #expect(transport.session.mayRead)
  }

  @Test("leaves acknowledgements out while the peer takes nothing, and then says all in one")
  func unwritable() {
    let transport = open()
    transport.session.writabilityChanged(to: false)
    #expect(!transport.session.mayRead)
    transport.session.writabilityChanged(to: true)
    transport.receive(.text, event)
    transport.receive(.text, event)
    loop.run()
    transport.session.writabilityChanged(to: false)
    log.complete(0)
    loop.run()
    #expect(transport.sent.count == 1)
    transport.session.writabilityChanged(to: true)
    transport.sessionChanged()
    #expect(transport.sent.count == 2 && transport.sent[1].contains(#""messages":2"#))
  }

  @Test("answers every one of a read full of bad messages, though they are beyond all bounds together", arguments: [1, 2, 1024])
  func manyBad(unackedMessagesMax: Int) {
    let transport = open(unackedMessagesMax: unackedMessagesMax)
    var frames = ByteBuffer()
    for _ in 0..<5000 { Array("{}".utf8).withUnsafeBytes { frames.writeWebSocketFrame(.text, $0, maskKey: 7) } }
    frames.withUnsafeReadableBytes { transport.session.receive($0) }
    #expect(transport.session.outgoing.readableBytes < 66_000)
    transport.sessionChanged()
    #expect(transport.sent.count { $0.hasPrefix(#"{"kind":"reject""#) } == 5000)
    #expect(transport.sent.last?.hasPrefix(#"{"kind":"ack","messages":5000,"#) == true)
    #expect(transport.session.mayRead)
  }

  @Test("a read of small frames that inflate to a MiB each is taken one a turn of the loop")
  func inflating() {
    let stepped = SteppedLoop(), deflate = WebSocketDeflateParameters(), scratch = WebSocketScratch(), count = 20
    let transport = open(deflate: deflate, on: stepped)
    var encoder = WebSocketMessageEncoder(role: .client, deflate: deflate), frames = ByteBuffer()
    Array(("[" + String(repeating: "x", count: (1 << 20) - 1)).utf8).withUnsafeBytes { message in
      for _ in 0..<count { encoder.write(.text, message, scratch, into: &frames) }
    }
    #expect(frames.readableBytes < 256 << 10)
    frames.withUnsafeReadableBytes { transport.session.receive($0) }
    transport.sessionChanged()
    for answered in 1..<count {
      #expect(transport.sent.count { $0.contains(#""kind":"reject""#) } == answered)
      #expect(transport.session.mayRead == false)
      stepped.turn()
    }
    stepped.run()
    #expect(transport.sent.last?.contains("\"messages\":\(count),") == true && transport.session.mayRead)
  }

  @Test("pings a silent peer, and gives it up at the third beat")
  func heartbeat() {
    let transport = open(subprotocol: "cloudevents.json")
    for _ in 0..<3 {
      transport.session.beat()
      transport.sessionChanged()
    }
    #expect(transport.sent == ["ping", "ping", "close 1001"])
    #expect(transport.session.isClosing)
  }

  @Test("hears a peer whose messages wait for the log: its pongs keep it, its silence ends it", arguments: [true, false])
  func pausedHeartbeat(answers: Bool) {
    let transport = open(unackedMessagesMax: 2)
    for _ in 0..<2 { transport.receive(.text, event) }
    loop.run()
    #expect(!transport.session.mayRead && transport.session.receivableBytesMax == 0)
    for beat in 1...150 {
      transport.session.beat()
      transport.sessionChanged()
      if transport.session.isClosing {
        #expect(!answers && beat == 3)
        break
      }
      #expect(transport.session.receivableBytesMax > 0, "beat \(beat)")
      if answers { transport.receive(.pong, "") }
    }
    #expect(transport.session.isClosing != answers)
    #expect(transport.sent.last == (answers ? "ping" : "close 1001"))
    guard answers else { return }
    log.complete(0)
    loop.run()
    #expect(transport.sent.last?.contains(#""messages":2"#) == true && transport.session.mayRead)
  }

  @Test("keeps a bounded number of bytes of a peer that goes on sending while its messages wait, and then gives it up")
  func pushing() {
    let transport = open(unackedMessagesMax: 1)
    transport.receive(.text, event)
    loop.run()
    var kept = 0
    for beat in 1...20 where !transport.session.isClosing {
      transport.session.beat()
      transport.sessionChanged()
      let room = transport.session.receivableBytesMax
      guard room > 0, !transport.session.isClosing else { continue }
      #expect(room <= PeerWatch.listenedBytes, "beat \(beat)")
      [UInt8](repeating: 0, count: room).withUnsafeBytes { transport.session.receive($0) }
      kept += room
    }
    #expect(kept == PeerWatch.listensMax * PeerWatch.listenedBytes)
    #expect(transport.sent.last == "close 1001")
  }

  @Test("gives up a peer that does not take what it is sent, though it goes on sending")
  func stuck() {
    let transport = open()
    transport.session.writabilityChanged(to: false)
    for unsent in [5000, 4000] {
      transport.unsent = unsent
      transport.session.beat()
      #expect(!transport.session.isClosing)
    }
    for _ in 0..<2 {
      transport.receive(.pong, "")
      transport.session.beat()
    }
    #expect(transport.session.isClosing)
  }

  @Test("tells of a flood of rejects no more than a few, and holds none that the peer does not take")
  func flood() {
    let transport = open()
    let message = "[" + String(repeating: "[],", count: 50_000) + event + "]"
    transport.receive(.text, message)
    loop.run()
    log.complete(0)
    loop.run()
    let rejects = transport.sent.filter { $0.hasPrefix(#"{"kind":"reject""#) }
    #expect(rejects.count == MessageTracker.rejectsToldMax + 1)
    #expect(rejects.last?.contains("\"count\":\(50_000 - MessageTracker.rejectsToldMax)}") == true)
    #expect(transport.sent.last?.contains(#""appended":1,"duplicates":0,"rejected":50000"#) == true)
    // The log fences what a peer has sent that reads nothing more: it is told later.
    for _ in 0..<8 { transport.receive(.text, "[" + Array(repeating: event, count: 1000).joined(separator: ",") + "]") }
    loop.run()
    transport.unsent = 1
    transport.session.writabilityChanged(to: false)
    while log.heldCount > 0 {
      log.complete(0, exceptions: (0..<log.heldBatches[0].count).map { .init(row: $0, reason: .fenced(currentEpoch: 2)) })
      loop.run()
    }
    #expect(transport.session.outgoing.readableBytes < 66_000)
    transport.unsent = nil
    transport.session.writabilityChanged(to: true)
    transport.sessionChanged()
    #expect(transport.sent.last?.contains(#""messages":9,"appended":1,"duplicates":0,"rejected":58000"#) == true)
    #expect(transport.sent.count { $0.contains("\"count\":") } == 9)
  }

  @Test("acknowledges what came before a close, and then answers the close")
  func closing() {
    let transport = open()
    transport.receive(.text, event)
    transport.receive(.close, [0x03, 0xE8])
    transport.receive(.text, event)
    #expect(!transport.session.isClosing && transport.session.receivableBytesMax == 0)
    loop.run()
    log.complete(0)
    loop.run()
    #expect(
      transport.sent.count == 3 && transport.sent[1].contains(#""messages":1,"appended":1"#) && transport.sent[2] == "close 1000")
  }

  @Test("answers a close whose acknowledgements do not come within two heartbeats")
  func closingWithoutLog() {
    let transport = open()
    transport.receive(.text, event)
    transport.receive(.close, "")
    for _ in 0..<2 {
      #expect(!transport.session.isClosing)
      transport.session.beat()
      transport.sessionChanged()
    }
    #expect(transport.session.isClosing && transport.sent.last?.hasPrefix("close") == true)
  }

  @Test("finishes with 1001 once what it was sent is answered for")
  func finishing() {
    let transport = open()
    transport.receive(.text, event)
    transport.session.finish()
    #expect(!transport.session.mayRead)
    transport.receive(.text, event)
    loop.run()
    #expect(log.heldBatches.map(\.count) == [1])
    log.complete(0)
    loop.run()
    #expect(transport.sent.count == 3 && transport.sent[1].contains(#""messages":1"#) && transport.sent[2] == "close 1001")
  }

  @Test("closes with 1003, 1007 and 1002 as the peer errs, and says nothing after")
  func errors() {
    for (opcode, text, code) in [(WebSocketOpcode.binary, "{}", 1003), (.continuation, "{}", 1002)] {
      let transport = open()
      transport.receive(opcode, text)
      #expect(transport.sent.last == "close \(code)")
      transport.receive(.ping, "x")
      #expect(transport.sent.last == "close \(code)")
    }
  }

  @Test("closes with 1011 when the log fails, and acknowledges nothing then")
  func failure() {
    let transport = open()
    transport.receive(.text, event)
    loop.run()
    log.fail(0, LogError(.poisoned, "sync failed"))
    loop.run()
    #expect(transport.sent.dropFirst() == ["close 1011"])
  }

  @Test("an ended session lets what it read go on to the log, and says nothing of it")
  func ended() {
    let transport = open()
    transport.receive(.text, event)
    transport.session.end()
    loop.run()
    let changes = transport.changes
    log.complete(0)
    loop.run()
    #expect(transport.changes == changes && transport.sent.count == 1)
  }

  @Test("acknowledgements are written in as few bytes as their numbers need", arguments: [0, 9, 10, 99, 1_000_000, .max])
  func numbers(number: Int) {
    var totals = MessageTracker.Totals()
    totals.messages = number
    totals.appended = number
    for partitions in [0, 1, 40] {
      var buffer = ByteBuffer()
      let offsets = (0..<partitions).map { (partition: PartitionID($0), next: Offset(Int64(number))) }
      DeviceMessages.writeAck(totals, offsets, to: &buffer)
      let list = offsets.map { "\"\($0.partition)\":\(number)" }.joined(separator: ",")
      let text = #"{"kind":"ack","messages":\#(number),"appended":\#(number),"duplicates":0,"rejected":0,"offsets":{\#(list)}}"#
      var expected = ByteBuffer()
      expected.writeWebSocketText(Array(text.utf8))
      #expect(buffer == expected)
    }
  }
}
