import CZlib
import NIOCore
import TestSupport
import Testing

@testable import WebSocket

@Suite("permessage-deflate")
struct DeflateTests {
  // MARK: - RFC 7692, section 7.2.3

  static let hello: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]

  static let examples: [(String, [UInt8], [Seen])] = [
    ("one block", frame(0xC1, hello), [.text("Hello", wasCompressed: true)]),
    (
      "two fragments", frame(0x41, Array(hello[..<3])) + frame(0x80, Array(hello[3...])),
      [.text("Hello", wasCompressed: true)]
    ),
    (
      "the window of the message before", frame(0xC1, hello) + frame(0xC1, [0xF2, 0x00, 0x11, 0x00, 0x00]),
      [.text("Hello", wasCompressed: true), .text("Hello", wasCompressed: true)]
    ),
    (
      "a stored block", frame(0xC1, [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00]),
      [.text("Hello", wasCompressed: true)]
    ),
    (
      "a final block", frame(0xC1, [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]) + frame(0xC1, hello),
      [.text("Hello", wasCompressed: true), .text("Hello", wasCompressed: true)]
    ),
    (
      "a final block without the zero byte after it",
      frame(0xC1, [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]) + frame(0xC1, [0xF2, 0x00, 0x11, 0x00, 0x00]),
      [.text("Hello", wasCompressed: true), .text("Hello", wasCompressed: true)]
    ),
    (
      "two blocks", frame(0xC1, [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]),
      [.text("Hello", wasCompressed: true)]
    ),
    ("an empty message", frame(0xC1, [0x00]), [.text("", wasCompressed: true)]),
    ("nothing at all", frame(0xC1, []), [.text("", wasCompressed: true)]),
    (
      "compressed and not, in turn, and a ping between fragments",
      frame(0x81, [65]) + frame(0x41, Array(hello[..<2])) + frame(0x89, [1]) + frame(0x80, Array(hello[2...])),
      [.text("A"), .ping([1]), .text("Hello", wasCompressed: true)]
    ),
  ]

  @Test("the RFC's examples, whole, byte by byte and cut at every byte", arguments: examples)
  func rfcExamples(name: String, bytes: [UInt8], events: [Seen]) {
    let deflate = WebSocketDeflateParameters()
    let expected = Outcome(events: events, bytesRead: bytes.count)
    #expect(decode([bytes], deflate: deflate) == expected)
    #expect(decode(bytewise(bytes), deflate: deflate) == expected)
    for cut in 0...bytes.count {
      #expect(decode([Array(bytes[..<cut]), Array(bytes[cut...])], deflate: deflate) == expected, "cut at \(cut)")
    }
  }

  @Test("with no context takeover, the window of the message before is gone")
  func noContextTakeover() {
    let bytes = frame(0xC1, Self.hello) + frame(0xC1, [0xF2, 0x00, 0x11, 0x00, 0x00])
    let outcome = decode([bytes], deflate: WebSocketDeflateParameters(clientNoContextTakeover: true))
    #expect(outcome.events == [.text("Hello", wasCompressed: true)])
    #expect(outcome.violation == .deflateCorrupt)
    // The server's promise says nothing about the client's messages.
    let other = decode([bytes], deflate: WebSocketDeflateParameters(serverNoContextTakeover: true))
    #expect(other.events.count == 2)
  }

  @Test("text that inflates to what is not UTF-8 ends with 1007")
  func inflatedText() {
    // A stored block with a cut character.
    let outcome = decode([frame(0xC1, [0x00, 0x01, 0x00, 0xFE, 0xFF, 0xE2, 0x00])], deflate: WebSocketDeflateParameters())
    #expect(outcome.violation == .textNotUTF8)
  }

  // MARK: - Bombs

  @Test("a bomb ends with 1009 and never takes more memory than the limit and a step", arguments: [1, 100, 4096])
  func bomb(chunk: Int) throws {
    let zeros = [UInt8](repeating: 0, count: 4 << 20)
    let compressed = deflated(zeros)
    let bytesMax = 100_000
    let scratch = WebSocketScratch()
    var decoder = WebSocketFrameDecoder(
      role: .server, limits: WebSocketLimits(messageBytesMax: bytesMax), deflate: WebSocketDeflateParameters())
    let bytes = frame(0xC2, Array(compressed.prefix(150_000)))
    var outcome = Outcome()
    var largest = 0
    var violation: WebSocketViolation?
    for start in stride(from: 0, to: bytes.count, by: chunk) where violation == nil {
      do throws(WebSocketViolation) {
        try feed(Array(bytes[start..<min(start + chunk, bytes.count)]), to: &decoder, scratch, &outcome)
        largest = max(largest, decoder.messageStorageBytes)
      } catch {
        violation = error
      }
    }
    #expect(violation == .messageTooBig)
    #expect(outcome.events.isEmpty)
    #expect(largest <= bytesMax + 1)
    #expect(scratch.keptBytes <= bytesMax + 1)
  }

  @Test("exactly the limit may be inflated, one byte more not")
  func exactLimit() {
    for total in [99_999, 100_000, 100_001] {
      let bytes = frame(0xC2, deflated([UInt8](repeating: 7, count: total)))
      for chunks in [[bytes], bytewise(bytes)] {
        let outcome = decode(
          chunks, limits: WebSocketLimits(messageBytesMax: 100_000), deflate: WebSocketDeflateParameters())
        #expect((outcome.violation == .messageTooBig) == (total > 100_000), "\(total)")
        #expect(outcome.events.count == (total > 100_000 ? 0 : 1))
      }
    }
  }

  @Test("a message that says nothing in ever more bytes is stopped by the limit on the wire")
  func emptyBlocks() {
    // Empty stored blocks: no output, so only the bytes on the wire can stop them.
    let block: [UInt8] = [0x00, 0x00, 0x00, 0xFF, 0xFF]
    var bytes = frame(0x42, block)
    for _ in 0..<1000 { bytes += frame(0x00, block + block) }
    let outcome = decode([bytes], limits: WebSocketLimits(messageBytesMax: 1000), deflate: WebSocketDeflateParameters())
    #expect(outcome.violation == .messageTooBig)
  }

  @Test("any bytes as compressed data end in a message or a violation, never worse")
  func anyBytes() {
    let seed: UInt64 = 0x5EED_0003
    var random = SeededGenerator(seed: seed)
    for _ in 0..<800 {
      let payload = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      let bytes = frame(0xC2, payload)
      let deflate = WebSocketDeflateParameters(clientMaxWindowBits: 9)
      let limits = WebSocketLimits(messageBytesMax: 500)
      let whole = decode([bytes], limits: limits, deflate: deflate)
      let pieces = decode(bytewise(bytes), limits: limits, deflate: deflate)
      #expect(whole.events == pieces.events, "seed \(seed)")
      #expect(whole.violation == pieces.violation, "seed \(seed)")
    }
  }

  // MARK: - Sending

  @Test("every window and takeover: what one side compresses the other inflates, with no larger window", arguments: 8...15)
  func windows(bits: Int) {
    let seed = 0x5EED_0100 + UInt64(bits)
    var random = SeededGenerator(seed: seed)
    for (role, noTakeover) in [(WebSocketRole.server, false), (.server, true), (.client, false), (.client, true)] {
      let parameters = WebSocketDeflateParameters(
        serverNoContextTakeover: role == .server && noTakeover, clientNoContextTakeover: role == .client && noTakeover,
        serverMaxWindowBits: role == .server ? bits : 15, clientMaxWindowBits: role == .client ? bits : 15)
      var settings = WebSocketDeflateSettings()
      settings.compressBytesMin = 0
      settings.level = Int.random(in: 1...9, using: &random)
      let scratch = WebSocketScratch()
      var encoder = WebSocketMessageEncoder(role: role, deflate: parameters, settings: settings)
      var written = ByteBuffer()
      var sent: [Seen] = []
      for _ in 0..<12 {
        let payload = wordy(&random)
        payload.withUnsafeBytes { encoder.write(.binary, $0, scratch, into: &written) }
        sent.append(.message(.binary, wasCompressed: true, payload))
      }
      let outcome = decode(
        [Array(written.readableBytesView)], role: role == .server ? .client : .server, deflate: parameters)
      #expect(outcome.events == sent, "seed \(seed), level \(settings.level)")
      #expect(outcome.violation == nil)
    }
  }

  @Test("small messages, and those asked not to be, go uncompressed")
  func threshold() {
    var settings = WebSocketDeflateSettings()
    settings.compressBytesMin = 100
    let scratch = WebSocketScratch()
    var encoder = WebSocketMessageEncoder(role: .server, deflate: WebSocketDeflateParameters(), settings: settings)
    var written = ByteBuffer()
    for count in [0, 99, 100, 101] {
      [UInt8](repeating: 65, count: count).withUnsafeBytes {
        encoder.write(.text, $0, scratch, into: &written)
        encoder.write(.text, $0, compress: false, scratch, into: &written)
      }
    }
    let outcome = decode([Array(written.readableBytesView)], role: .client, deflate: WebSocketDeflateParameters())
    #expect(outcome.violation == nil)
    #expect(
      outcome.events.map { event in
        if case .message(_, let wasCompressed, _) = event { wasCompressed } else { false }
      } == [false, false, false, false, true, false, true, false])
  }

  // MARK: - Negotiation

  static let offers: [(String, String?, WebSocketDeflateParameters?)] = [
    ("permessage-deflate", "permessage-deflate", .init()),
    ("Permessage-Deflate", "permessage-deflate", .init()),
    ("permessage-deflate; client_max_window_bits", "permessage-deflate", .init()),
    (
      "permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10",
      .init(clientMaxWindowBits: 10)
    ),
    (
      "permessage-deflate;server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9",
      .init(serverMaxWindowBits: 9)
    ),
    (
      "permessage-deflate; server_max_window_bits=\"8\"", "permessage-deflate; server_max_window_bits=8",
      .init(serverMaxWindowBits: 8)
    ),
    (
      "permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15", .init()
    ),
    (
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
      .init(serverNoContextTakeover: true, clientNoContextTakeover: true)
    ),
    ("permessage-deflate; server_max_window_bits", nil, nil),
    ("permessage-deflate; server_max_window_bits=7", nil, nil),
    ("permessage-deflate; server_max_window_bits=16", nil, nil),
    ("permessage-deflate; server_max_window_bits=09", nil, nil),
    ("permessage-deflate; server_max_window_bits=+9", nil, nil),
    ("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", nil, nil),
    ("permessage-deflate; client_max_window_bits; client_max_window_bits", nil, nil),
    ("permessage-deflate; client_max_window_bits=16", nil, nil),
    ("permessage-deflate; server_no_context_takeover=1", nil, nil),
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", nil, nil),
    ("permessage-deflate; client_no_context_takeover=true", nil, nil),
    ("permessage-deflate; unknown", nil, nil),
    ("x-webkit-deflate-frame", nil, nil),
    ("permessage-bzip2, permessage-deflate", "permessage-deflate", .init()),
    (
      "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10, permessage-deflate",
      "permessage-deflate; server_max_window_bits=10", .init(serverMaxWindowBits: 10)
    ),
    ("permessage-deflate; server_max_window_bits=\"10", nil, nil),
    ("permessage-deflate; ", nil, nil),
    (", permessage-deflate ,", "permessage-deflate", .init()),
    ("", nil, nil),
  ]

  @Test("each offer is accepted or declined as RFC 7692 says", arguments: offers)
  func negotiation(offer: String, response: String?, parameters: WebSocketDeflateParameters?) {
    let accepted = WebSocketDeflateSettings().accept([offer])
    #expect(accepted?.response == response)
    #expect(accepted?.parameters == parameters)
  }

  @Test("offers in several header fields are one list")
  func severalFields() {
    let accepted = WebSocketDeflateSettings().accept(["permessage-deflate; unknown", "permessage-deflate"])
    #expect(accepted?.response == "permessage-deflate")
  }

  @Test("any client settings and any server settings agree, and both read the agreement alike")
  func agreement() throws {
    for takeovers in 0..<16 {
      for (clientBits, serverBits) in [(15, 15), (8, 15), (15, 8), (10, 12), (12, 10)] {
        var client = WebSocketDeflateSettings()
        client.serverNoContextTakeover = takeovers & 1 != 0
        client.clientNoContextTakeover = takeovers & 2 != 0
        client.serverMaxWindowBits = serverBits
        client.clientMaxWindowBits = clientBits
        var server = WebSocketDeflateSettings()
        server.serverNoContextTakeover = takeovers & 4 != 0
        server.clientNoContextTakeover = takeovers & 8 != 0
        server.serverMaxWindowBits = clientBits
        server.clientMaxWindowBits = serverBits
        let accepted = try #require(server.accept([client.offer]))
        let agreed = try #require(try client.agreed([accepted.response]))
        #expect(agreed == accepted.parameters, "\(client.offer) → \(accepted.response)")
      }
    }
  }

  static let badResponses: [String] = [
    "permessage-bzip2", "permessage-deflate, permessage-deflate", "permessage-deflate; unknown",
    "permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=11",
    "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", "permessage-deflate;;", "permessage-deflate",
  ]

  @Test("a client refuses what it did not offer", arguments: badResponses)
  func badResponse(response: String) {
    var client = WebSocketDeflateSettings()
    client.serverMaxWindowBits = 10
    #expect(throws: WebSocketHandshakeError.extensions) { try client.agreed([response]) }
  }

  // MARK: - Help

  /// Raw deflate by zlib itself, apart from the code under test, without the tail.
  private func deflated(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    #expect(czlib_deflate_init(&stream, 9, -15) == Z_OK)
    var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 16)
    var input = bytes
    let written = input.withUnsafeMutableBufferPointer { from in
      output.withUnsafeMutableBufferPointer { to in
        stream.next_in = from.baseAddress
        stream.avail_in = UInt32(from.count)
        stream.next_out = to.baseAddress
        stream.avail_out = UInt32(to.count)
        deflate(&stream, Z_SYNC_FLUSH)
        return to.count - Int(stream.avail_out)
      }
    }
    deflateEnd(&stream)
    return Array(output[..<(written - 4)])
  }

  /// Bytes that repeat at many distances, so that a window too large would show.
  private func wordy(_ random: inout SeededGenerator) -> [UInt8] {
    var bytes: [UInt8] = []
    let words = (0..<Int.random(in: 1...60, using: &random)).map { _ in
      (0..<Int.random(in: 3...40, using: &random)).map { _ in UInt8.random(in: 97...122, using: &random) }
    }
    let count = Int.random(in: 0...3000, using: &random)
    while bytes.count < count { bytes += words.randomElement(using: &random) ?? [] }
    return bytes
  }
}
