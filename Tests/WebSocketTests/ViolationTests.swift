import NIOCore
import Testing

@testable import WebSocket

/// Bytes that break a rule, and the rule.
struct Breach: CustomTestStringConvertible, Sendable {
  var name: String
  var bytes: [UInt8]
  var violation: WebSocketViolation
  var code: UInt16
  var role = WebSocketRole.server
  var deflate: WebSocketDeflateParameters?

  var testDescription: String { name }
}

@Suite("Violations and their close codes")
struct ViolationTests {
  static let breaches: [Breach] = {
    var all: [Breach] = []
    func add(
      _ name: String, _ bytes: [UInt8], _ violation: WebSocketViolation, _ code: UInt16, role: WebSocketRole = .server,
      deflate: WebSocketDeflateParameters? = nil
    ) {
      all.append(Breach(name: name, bytes: bytes, violation: violation, code: code, role: role, deflate: deflate))
    }
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] as [UInt8] {
      for opcode in [0x1, 0x2, 0x8, 0x9, 0xA] as [UInt8] {
        add("reserved bits \(bits) on opcode \(opcode)", frame(0x80 | bits | opcode, [65]), .reservedBit, 1002)
      }
    }
    let deflate = WebSocketDeflateParameters()
    for opcode in [0x8, 0x9, 0xA] as [UInt8] {
      add("RSV1 on control frame \(opcode)", frame(0xC0 | opcode), .reservedBit, 1002, deflate: deflate)
      add("fragmented control frame \(opcode)", frame(opcode, [1]), .controlFrameFragmented, 1002)
      add("control frame \(opcode) of 126", frame(0x80 | opcode, Array(repeating: 65, count: 126)), .controlFrameTooLong, 1002)
      add("control frame \(opcode) of 64 KiB", frame(0x80 | opcode, [], length: 65_536), .controlFrameTooLong, 1002)
    }
    add("RSV2 with compression", frame(0xA1, [65]), .reservedBit, 1002, deflate: deflate)
    add("RSV1 on a continuation", frame(0x41, [0]) + frame(0xC0, [0]), .reservedBit, 1002, deflate: deflate)
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] as [UInt8] {
      add("reserved opcode \(opcode)", frame(0x80 | opcode, [1, 2]), .reservedOpcode, 1002)
    }
    add("unmasked from a client", frame(0x81, [65], key: nil), .maskMissing, 1002)
    add("masked from a server", frame(0x81, [65]), .maskPresent, 1002, role: .client)
    add("continuation of nothing", frame(0x80, [65]), .continuationWithoutStart, 1002)
    add("continuation of nothing, more to come", frame(0x00, [65]), .continuationWithoutStart, 1002)
    add("continuation after an end", frame(0x01, [65]) + frame(0x80, [66]) + frame(0x80), .continuationWithoutStart, 1002)
    add("text inside a text", frame(0x01, [65]) + frame(0x81, [66]), .messageInsideMessage, 1002)
    add("binary inside a text", frame(0x01, [65]) + frame(0x02, [66]), .messageInsideMessage, 1002)
    for length in [0, 1, 125] as [UInt64] {
      let payload = [UInt8](repeating: 65, count: Int(length))
      add("length \(length) in 16 bits", frame(0x82, payload, lengthBytes: 2), .lengthNotMinimal, 1002)
      add("length \(length) in 64 bits", frame(0x82, payload, lengthBytes: 8), .lengthNotMinimal, 1002)
    }
    add("length 65535 in 64 bits", frame(0x82, length: 65_535, lengthBytes: 8), .lengthNotMinimal, 1002)
    add("length with the top bit", frame(0x82, length: 1 << 63, lengthBytes: 8), .lengthBeyond63Bits, 1002)
    add("length all ones", frame(0x82, length: .max, lengthBytes: 8), .lengthBeyond63Bits, 1002)
    add("length of 63 ones", frame(0x82, length: .max >> 1, lengthBytes: 8), .messageTooBig, 1009)
    add("one byte of close code", frame(0x88, [3]), .closeCodeCut, 1002)
    add("close code 1005", frame(0x88, closePayload(1005)), .closeCodeInvalid, 1002)
    add("close reason not UTF-8", frame(0x88, closePayload(1000, [0x61, 0xC3])), .closeReasonNotUTF8, 1007)
    for bytes in [[0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]] {
      add("text \(bytes)", frame(0x81, bytes), .textNotUTF8, 1007)
      let padded = [UInt8](repeating: 65, count: 200)
      add("text \(bytes) at the end of a long one", frame(0x81, padded + bytes), .textNotUTF8, 1007)
      add("text \(bytes) in the second fragment", frame(0x01, padded) + frame(0x80, bytes), .textNotUTF8, 1007)
    }
    add("a character cut by the end of fragments", frame(0x01, [0xE2]) + frame(0x80, [0x82]), .textNotUTF8, 1007)
    add(
      "a character interrupted by a fragment of ASCII", frame(0x01, [0xE2]) + frame(0x00, [65]) + frame(0x80, [0x82, 0xAC]),
      .textNotUTF8, 1007)
    add("a header over the limit", frame(0x82, length: (1 << 20) + 1), .messageTooBig, 1009)
    add("fragments over the limit", frame(0x02, [1]) + frame(0x80, length: 1 << 20), .messageTooBig, 1009)
    add("corrupt deflate", frame(0xC2, [0xFF, 0xFF, 0xFF]), .deflateCorrupt, 1007, deflate: deflate)
    add(
      "corrupt deflate, distance too far", frame(0xC2, [0x4B, 0x04, 0x42, 0x00, 0x00]), .deflateCorrupt, 1007, deflate: deflate)
    return all
  }()

  @Test("each breach is found with its close code, whole, byte by byte and after a good frame", arguments: breaches)
  func found(breach: Breach) {
    #expect(breach.violation.closeCode.rawValue == breach.code)
    let key: [UInt8]? = breach.role == .server ? [9, 8, 7, 6] : nil
    let good = frame(0x82, [1, 2, 3], key: key)
    func violation(_ chunks: [[UInt8]]) -> WebSocketViolation? {
      decode(chunks, role: breach.role, deflate: breach.deflate).violation
    }
    #expect(violation([breach.bytes]) == breach.violation)
    #expect(violation(bytewise(breach.bytes)) == breach.violation)
    #expect(violation([good + breach.bytes]) == breach.violation)
    for cut in 0...breach.bytes.count {
      #expect(violation([Array(breach.bytes[..<cut]), Array(breach.bytes[cut...])]) == breach.violation, "cut at \(cut)")
    }
  }

  @Test("after a violation everything is dropped, and no event comes")
  func dropsAfter() throws {
    let scratch = WebSocketScratch()
    var decoder = WebSocketFrameDecoder(role: .server, limits: smallLimits)
    var buffer = ByteBuffer(bytes: frame(0x83) + frame(0x81, [65]))
    do throws(WebSocketViolation) {
      _ = try decoder.next(&buffer, scratch)
      Issue.record("no violation")
    } catch {
      #expect(error == .reservedOpcode)
    }
    let isEnded = decoder.isEnded
    #expect(isEnded)
    #expect(buffer.readableBytes == 0)
    var more = ByteBuffer(bytes: frame(0x81, [65]))
    let event = try decoder.next(&more, scratch)
    #expect(event == nil)
    #expect(more.readableBytes == 0)
  }

  @Test("text that can't become UTF-8 fails at that byte, before its frame or message is complete")
  func failsFast() {
    // Autobahn 6.4: valid, then bytes that no continuation can make valid.
    let valid = Array("κόσμε".utf8)
    let bytes = frame(0x01, valid) + frame(0x00, [0xF4, 0x90], length: 1000)
    let outcome = decode(bytewise(bytes))
    #expect(outcome.violation == .textNotUTF8)
    #expect(outcome.bytesRead == bytes.count)
  }

  @Test("every violation's text fits a close frame", arguments: WebSocketViolation.allCases)
  func texts(violation: WebSocketViolation) {
    #expect((1...123).contains(violation.description.utf8.count))
    #expect(violation.closeCode.isAllowedOnWire)
  }

  @Test("a message of exactly the limit is taken, one byte more is not, in 1 to 5 fragments", arguments: 1...5)
  func exactLimit(fragments: Int) {
    let limits = WebSocketLimits(messageBytesMax: 1000)
    for total in [999, 1000, 1001] {
      var bytes: [UInt8] = []
      for at in 0..<fragments {
        let share = total / fragments + (at < total % fragments ? 1 : 0)
        let first: UInt8 = (at == 0 ? 0x02 : 0x00) | (at == fragments - 1 ? 0x80 : 0)
        bytes += frame(first, [UInt8](repeating: 1, count: share))
      }
      for chunks in [[bytes], bytewise(bytes)] {
        let outcome = decode(chunks, limits: limits)
        #expect((outcome.violation == .messageTooBig) == (total > 1000))
        #expect(outcome.events.count == (total > 1000 ? 0 : 1))
      }
    }
  }

  @Test("as many fragments before the last as allowed are taken, one more is not")
  func fragmentCount() {
    let limits = WebSocketLimits(messageBytesMax: 1000, fragmentsMax: 7)
    for count in [6, 7, 8] {
      var bytes = frame(0x01)
      for _ in 0..<(count - 1) { bytes += frame(0x00) }
      bytes += frame(0x80)
      let outcome = decode([bytes], limits: limits)
      #expect(outcome.violation == (count > 7 ? .tooManyFragments : nil))
      #expect(WebSocketViolation.tooManyFragments.closeCode == .messageTooBig)
    }
  }
}
