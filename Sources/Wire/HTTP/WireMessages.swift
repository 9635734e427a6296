import Events
import NIOCore
import NIOHTTP1

/// A request between services, whole.
public struct WireRequest: Sendable {
  public var method: HTTPMethod
  /// Path and query, percent-encoded.
  public var target: String
  public var contentType: String?
  public var body: ByteBuffer
  /// The longest answer that is taken.
  public var answerBytesMax: Int
  /// Of the request that this one is part of answering.
  public var id: RequestID?

  public init(
    _ method: HTTPMethod, _ target: String, contentType: String? = nil, body: ByteBuffer = ByteBuffer(),
    answerBytesMax: Int = 4 << 20, id: RequestID? = .current
  ) {
    self.method = method
    self.target = target
    self.contentType = contentType
    self.body = body
    self.answerBytesMax = answerBytesMax
    self.id = id
  }

  /// `POST` of a JSON value.
  public init(posting json: JSONValue, to target: String, answerBytesMax: Int = 4 << 20) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(.POST, target, contentType: WireContent.json, body: ByteBuffer(bytes: bytes), answerBytesMax: answerBytesMax)
  }

  public var path: Substring { target.prefix { $0 != "?" } }

  /// The query's parameters, decoded; of a name that comes twice, the last counts.
  public var parameters: [String: String] {
    var result: [String: String] = [:]
    for pair in target.drop(while: { $0 != "?" }).dropFirst().split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      result[percentDecoded(parts[0])] = parts.count == 2 ? percentDecoded(parts[1]) : ""
    }
    return result
  }
}

/// An answer between services, whole.
public struct WireResponse: Sendable {
  public var status: Int
  public var contentType: String
  public var headers: [String: String]
  public var body: ByteBuffer

  public init(status: Int = 200, contentType: String, headers: [String: String] = [:], body: ByteBuffer) {
    self.status = status
    self.contentType = contentType
    self.headers = headers
    self.body = body
  }

  public init(_ json: JSONValue, status: Int = 200) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(status: status, contentType: WireContent.json, body: ByteBuffer(bytes: bytes))
  }

  /// - Parameters:
  ///   - problem: With its status and stable code.
  ///   - extra: Members after the problem's own.
  public init(_ problem: HTTPProblem, extra: JSONObject = JSONObject()) {
    self.init(
      status: problem.status, contentType: HTTPProblem.contentType, headers: problem.headers,
      body: ByteBuffer(bytes: problem.body(extra: extra)))
  }

  /// The body as JSON; nil when it is none.
  public var json: JSONValue? { try? JSONValue(parsing: body.readableBytesView) }
}

func percentDecoded(_ text: Substring) -> String {
  var bytes: [UInt8] = []
  var rest = text.utf8[...]
  while let byte = rest.popFirst() {
    if byte == 0x25, rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
      bytes.append(value)
      rest = rest.dropFirst(2)
    } else {
      bytes.append(byte)
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
func percentEncoded(_ text: String) -> String {
  var result = ""
  for byte in text.utf8 {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: result.unicodeScalars.append(Unicode.Scalar(byte))
    default:
      let digits = String(byte, radix: 16, uppercase: true)
      result += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
    }
  }
  return result
}
