import Foundation
import Glibc

/// A connection to an HTTP service of this machine, for one request after the other; it blocks.
struct BlockingHTTP: ~Copyable {
  private let socket: Int32
  private let port: Int

  /// - Parameter port: The service's port on 127.0.0.1.
  init(port: Int) throws {
    socket = try RawWebSocket.open(port: port)
    self.port = port
  }

  deinit { close(socket) }

  /// - Returns: The body of an answer of 200.
  /// - Throws: `BenchError` for any other answer, with its text.
  borrowing func get(_ target: String) throws -> [UInt8] {
    try ask("GET \(target) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n\r\n", [])
  }

  /// - Parameter json: The request's body.
  /// - Returns: The body of an answer of 200.
  /// - Throws: `BenchError` for any other answer, with its text.
  borrowing func post(_ target: String, json: [UInt8]) throws -> [UInt8] {
    try ask(
      "POST \(target) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nContent-Type: application/json\r\nContent-Length: \(json.count)\r\n\r\n",
      json)
  }

  private borrowing func ask(_ head: String, _ body: [UInt8]) throws -> [UInt8] {
    try RawWebSocket.writeAll(socket, Array(head.utf8) + body)
    var bytes: [UInt8] = []
    while true {
      if let end = RawWebSocket.headEnd(bytes) {
        let head = String(decoding: bytes[..<end], as: UTF8.self)
        if let body = BlockingHTTP.body(bytes[end...], lengthIn: head) {
          guard head.hasPrefix("HTTP/1.1 200") else {
            throw BenchError("the query service answered: \(head.prefix(40)) \(String(decoding: body, as: UTF8.self))")
          }
          return body
        }
      }
      bytes += try RawWebSocket.readSome(socket)
    }
  }

  /// Nil if the body is not whole.
  private static func body(_ bytes: ArraySlice<UInt8>, lengthIn head: String) -> [UInt8]? {
    guard let line = head.lowercased().split(separator: "\r\n").first(where: { $0.hasPrefix("content-length:") }),
      let length = Int(line.dropFirst(15).filter(\.isNumber))
    else { return chunks(bytes) }
    return bytes.count >= length ? Array(bytes.prefix(length)) : nil
  }

  private static func chunks(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    var body: [UInt8] = [], rest = bytes
    while let end = rest.firstIndex(of: 0x0A) {
      let size = String(decoding: rest[..<end], as: UTF8.self).prefix { $0.isHexDigit }
      guard let length = Int(size, radix: 16), rest.endIndex - end - 1 >= length + 2 else { return nil }
      if length == 0 { return body }
      body += rest[(end + 1)..<(end + 1 + length)]
      rest = rest[(end + 1 + length + 2)...]
    }
    return nil
  }
}
