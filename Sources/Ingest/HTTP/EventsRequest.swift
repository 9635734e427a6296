import Events
import NIOCore
import NIOHTTP1
import Serving
import WebSocket

/// The parameters of a `POST /v1/events`, from its headers.
struct EventsRequest: Sendable {
  enum Mode: Sendable {
    case framed(EventReader.Framing)
    /// The attributes are in `ce-` headers and the body is the data.
    case binary(contentType: String?)
  }

  /// A body as it is read.
  enum Text: Sendable {
    /// So many bytes of UTF-8, and `EventReader.padding` zeroes after them.
    case events([UInt8], count: Int, EventReader.Framing)
    /// Nothing of the body can be read; `event` is nil where the fault is the whole message's.
    case rejected(EventReject, event: Int?)
  }

  let mode: Mode
  let isGzip: Bool

  init(_ head: HTTPRequestHead) throws(HTTPProblem) {
    switch head.headers["content-encoding"].joined(separator: ",").lowercased() {
    case "", "identity": isGzip = false
    case "gzip", "x-gzip": isGzip = true
    case let other:
      throw HTTPProblem(
        status: 415, code: "unsupported_encoding", detail: "Content-Encoding '\(other)' is not taken: send gzip or none",
        headers: ["Accept-Encoding": "gzip"])
    }
    let contentType = head.headers.first(name: "content-type")
    let mediaType = contentType.map(EventsRequest.mediaType)
    switch mediaType {
    case "application/cloudevents+json": mode = .framed(.single)
    case "application/cloudevents-batch+json": mode = .framed(.json)
    case "application/x-ndjson": mode = .framed(.lines)
    // In binary mode the content type is the data's own.
    case _ where head.headers.contains(name: "ce-type") || head.headers.contains(name: "ce-specversion"):
      mode = .binary(contentType: contentType)
    case "application/json": mode = .framed(.json)
    default:
      throw HTTPProblem(
        status: 415, code: "unsupported_media_type",
        detail: (mediaType.map { "Content-Type '\($0)' is not taken" } ?? "Content-Type is missing")
          + ": send application/cloudevents+json, application/cloudevents-batch+json, application/json, application/x-ndjson, "
          + "or ce- headers with any type of data")
    }
  }

  /// Reads the body. Depends on nothing else, so that other threads may read a long one.
  /// - Parameters:
  ///   - request: The request with its body.
  ///   - bytesMax: The longest text, inflated.
  /// - Throws: 400 for what is no gzip, 413 for what inflates to too much.
  func text(_ request: HTTPRequest, bytesMax: Int) throws(HTTPProblem) -> Text {
    var text = try inflated(request.body, bytesMax)
    var framing = EventReader.Framing.single
    switch mode {
    case .framed(let wanted): framing = wanted
    case .binary(let contentType):
      let event = text.withUnsafeBytes { bytes in
        Result { () throws(EventReject) in
          try EventsRequest.structured(request.head, contentType: contentType, body: bytes)
        }
      }
      switch event {
      case .success(let event): text = event
      case .failure(let reject): return .rejected(reject, event: reject.code == .malformedJSON ? nil : 0)
      }
    }
    guard text.withUnsafeBytes({ UTF8Check.isValid($0) }) else {
      return .rejected(EventReject(.malformedJSON, "the body is not UTF-8"), event: nil)
    }
    let count = text.count
    text.append(contentsOf: repeatElement(0, count: EventReader.padding))
    return .events(text, count: count, framing)
  }

  private func inflated(_ body: ByteBuffer, _ bytesMax: Int) throws(HTTPProblem) -> [UInt8] {
    guard isGzip else { return Array(body.readableBytesView) }
    let result = body.withUnsafeReadableBytes { bytes in
      Result { () throws(GzipInflater.Failure) in try GzipInflater.inflate(bytes, bytesMax: bytesMax) }
    }
    switch result {
    case .success(let output): return output
    case .failure(.tooLarge):
      throw HTTPProblem(
        status: 413, code: "too_large",
        detail: "a body inflates to \(bytesMax) bytes at most (ingest.message_bytes_max); send several")
    case .failure(.corrupt): throw HTTPProblem(status: 400, code: "malformed_gzip", detail: "the body is no gzip stream")
    }
  }

  /// The code of a reject for an attribute that cannot be read.
  private static func rejectCode(ofAttribute name: String) -> RejectCode {
    switch name {
    case "source": .invalidSource
    case "type": .invalidType
    case "id": .invalidID
    case "time": .invalidTime
    case "subject": .invalidSubject
    case "sequence": .invalidSequence
    case "epoch": .invalidEpoch
    case "specversion": .invalidSpecversion
    default: .invalidAttribute
    }
  }

  static func mediaType(_ contentType: String) -> String {
    let type = contentType.prefix { $0 != ";" }
    return type.filter { $0 != " " && $0 != "\t" }.lowercased()
  }

  /// The content of a quoted string (RFC 9110, section 5.6.4), its escapes undone; any other value unchanged.
  static func unquoted(_ value: String) -> String {
    let bytes = Array(value.utf8), quote = UInt8(ascii: "\""), backslash = UInt8(ascii: "\\")
    guard bytes.count >= 2, bytes.first == quote else { return value }
    var content: [UInt8] = []
    var at = 1
    while at < bytes.count {
      // Either its end, or it is no quoted string after all.
      if bytes[at] == quote { return at == bytes.count - 1 ? String(decoding: content, as: UTF8.self) : value }
      if bytes[at] == backslash { at += 1 }
      guard at < bytes.count else { break }
      content.append(bytes[at])
      at += 1
    }
    return value
  }

  /// The event of a binary-mode request as JSON text, to be read like any other.
  static func structured(_ head: HTTPRequestHead, contentType: String?, body: UnsafeRawBufferPointer) throws(EventReject)
    -> [UInt8]
  {
    var text: [UInt8] = [0x7B]
    func member(_ name: String, _ write: (inout [UInt8]) -> Void) {
      if text.count > 1 { text.append(0x2C) }
      JSONValue.writeString(name, to: &text)
      text.append(0x3A)
      write(&text)
    }
    for (name, value) in head.headers {
      let lowercased = name.lowercased()
      guard lowercased.hasPrefix("ce-") else { continue }
      let attribute = String(lowercased.dropFirst(3))
      // The CloudEvents HTTP binding encodes header values so (section 3.1.3.2): quotes around, percent encodings within.
      guard let decoded = PercentText.decode(unquoted(value)) else {
        throw EventReject(
          EventsRequest.rejectCode(ofAttribute: attribute),
          "the header ce-\(attribute.prefix(64)) is no percent-encoded UTF-8: write what is not ASCII, and %, as %C3%A9")
      }
      member(attribute) { JSONValue.writeString(decoded, to: &$0) }
    }
    if let contentType {
      guard !PercentText.holdsReplacement(contentType.utf8) else {
        throw EventReject(.invalidAttribute, "the header content-type is no UTF-8")
      }
      member("datacontenttype") { JSONValue.writeString(contentType, to: &$0) }
    }
    if !body.isEmpty {
      let type = contentType.map(mediaType) ?? "application/json"
      if type == "application/json" || type.hasSuffix("+json") {
        // It is checked by itself first: else text after the value could pass for more members of the event.
        do throws(JSONError) { try JSONValue.check(body) } catch {
          throw EventReject(.malformedJSON, "the body is said to be \(type): \(error)")
        }
        member("data") { $0.append(contentsOf: body) }
      } else if type.hasPrefix("text/"), UTF8Check.isValid(body) {
        member("data") { JSONValue.writeString(body, to: &$0) }
      } else {
        let encoded = Base64.encode(Array(body))
        member("data_base64") { JSONValue.writeString(encoded, to: &$0) }
      }
    }
    text.append(0x7D)
    return text
  }
}
