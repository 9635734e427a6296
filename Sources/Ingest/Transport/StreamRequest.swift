import NIOHTTP1
import WebSocket

/// The head of `GET /v1/stream`, recognised among any bytes that a connection may begin with.
///
/// It accepts only plain heads: unusual or faulty ones are left to the HTTP server, which knows all of HTTP and has an answer for
/// them.
enum StreamRequest {
  /// A longer head is left to the HTTP server.
  static let headBytesMax = 16 * 1024

  enum Reading {
    /// It may become a stream's head.
    case incomplete
    case other
    case head(HTTPRequestHead, byteCount: Int)
  }

  private static let start = Array("GET \(StreamAdmission.path)".utf8)
  private static let version = Array(" HTTP/1.1".utf8)
  private static let carriageReturn = UInt8(ascii: "\r"), lineFeed = UInt8(ascii: "\n")

  static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
    guard zip(bytes, start).allSatisfy(==) else { return .other }
    var headers = HTTPHeaders()
    var target: String?
    var lineStart = 0
    while let end = bytes[lineStart...].firstIndex(of: lineFeed) {
      guard end > lineStart, bytes[end - 1] == carriageReturn else { return .other }
      let line = UnsafeRawBufferPointer(rebasing: bytes[lineStart..<end - 1])
      lineStart = end + 1
      if target == nil {
        guard let found = requestTarget(line) else { return .other }
        target = found
      } else if line.isEmpty {
        guard let target, mayHaveNoBody(headers) else { return .other }
        return .head(HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: headers), byteCount: lineStart)
      } else {
        guard let (name, value) = field(line) else { return .other }
        headers.add(name: name, value: value)
      }
    }
    return bytes.count < headBytesMax ? .incomplete : .other
  }

  /// The target of `GET target HTTP/1.1`: `/v1/stream` and the text that may follow a path.
  private static func requestTarget(_ line: UnsafeRawBufferPointer) -> String? {
    guard line.count >= start.count + version.count, line.suffix(version.count).elementsEqual(version) else { return nil }
    let target = line[4..<line.count - version.count]
    let rest = target.dropFirst(StreamAdmission.path.utf8.count)
    guard rest.first.map({ $0 == UInt8(ascii: "?") }) ?? true, target.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      return nil
    }
    return String(decoding: target, as: UTF8.self)
  }

  private static func field(_ line: UnsafeRawBufferPointer) -> (name: String, value: String)? {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
      line[..<colon].allSatisfy({ isTokenByte($0) }),
      line[(colon + 1)...].allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 })
    else { return nil }
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
    var value = line[(colon + 1)...].drop(while: isSpace)
    while let last = value.last, isSpace(last) { value = value.dropLast() }
    return (String(decoding: line[..<colon], as: UTF8.self), String(decoding: value, as: UTF8.self))
  }

  /// RFC 9110, section 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
      true
    default:
      "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  private static func mayHaveNoBody(_ headers: HTTPHeaders) -> Bool {
    !headers.contains(name: "content-length") && !headers.contains(name: "transfer-encoding") && !headers.contains(name: "expect")
  }
}
