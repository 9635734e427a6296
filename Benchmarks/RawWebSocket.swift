import CEpoll
import Glibc

/// The least of a WebSocket client over a plain socket: no library's time is in what is measured.
enum RawWebSocket {
  /// Connects and shakes hands, blocking.
  /// - Returns: The socket, and what came after the handshake.
  static func connect(port: Int, path: String) throws -> (socket: Int32, rest: [UInt8]) {
    let socket = try open(port: port)
    let request =
      "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: penstock.v1\r\n\r\n"
    try writeAll(socket, Array(request.utf8))
    var received: [UInt8] = []
    while true {
      if let end = headEnd(received) {
        guard received.starts(with: Array("HTTP/1.1 101".utf8)) else {
          throw BenchError("the server refused: \(String(decoding: received.prefix(300), as: UTF8.self))")
        }
        return (socket, Array(received[end...]))
      }
      received += try readSome(socket)
    }
  }

  static func open(port: Int) throws -> Int32 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard socket >= 0 else { throw BenchError("socket: \(String(cString: strerror(errno)))") }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard status == 0 else { throw BenchError("cannot connect to 127.0.0.1:\(port): \(String(cString: strerror(errno)))") }
    var on: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    return socket
  }

  /// Where the body begins.
  static func headEnd(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    for index in 0...bytes.count - 4
    where bytes[index] == 13 && bytes[index + 1] == 10 && bytes[index + 2] == 13 && bytes[index + 3] == 10 {
      return index + 4
    }
    return nil
  }

  static func writeAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var at = 0
    while at < bytes.count {
      let count = bytes.withUnsafeBytes { send(socket, $0.baseAddress! + at, $0.count - at, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw BenchError("the connection broke while writing") }
      at += count
    }
  }

  static func readSome(_ socket: Int32) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = recv(socket, &bytes, bytes.count, 0)
    guard count > 0 else { throw BenchError("the connection broke while reading") }
    return Array(bytes[..<count])
  }

  /// A server's frame at `start`; nil if it is not whole.
  @inline(__always)
  static func frame(_ bytes: UnsafeRawBufferPointer, at start: Int) -> (opcode: UInt8, payload: Range<Int>)? {
    guard bytes.count - start >= 2 else { return nil }
    let opcode = bytes[start] & 15
    var length = Int(bytes[start + 1] & 127), head = 2
    if length == 126 {
      guard bytes.count - start >= 4 else { return nil }
      length = Int(bytes[start + 2]) << 8 | Int(bytes[start + 3])
      head = 4
    } else if length == 127 {
      guard bytes.count - start >= 10 else { return nil }
      length = 0
      for index in 2..<10 { length = length << 8 | Int(bytes[start + index]) }
      head = 10
    }
    guard bytes.count - start >= head + length else { return nil }
    return (opcode, start + head..<start + head + length)
  }

  /// With a mask key of zero, which leaves a payload as it is; for control frames only.
  static func pong(_ payload: UnsafeRawBufferPointer) -> [UInt8] {
    [0x8A, 0x80 | UInt8(payload.count), 0, 0, 0, 0] + Array(payload)
  }
}
