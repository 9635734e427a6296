import ArgumentParser
import CEpoll
import Glibc

/// The speed of the machine's sockets alone: reads frames and acknowledges their number, and does nothing else with them. No
/// server that reads and answers each message on its own can be faster here.
struct SocketFloor: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "socket-floor", abstract: "Acknowledges frames without reading them, by bare epoll: the limit for `load`.")

  @Option(help: "The port to listen on.")
  var port = 4900

  private static let handshake =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: penstock.v1\r\n\r\n"
  private static let welcome =
    #"{"kind":"welcome","heartbeat":"30s","limits":{"message_bytes":1048576,"unacked_messages":1024},"resume":{}}"#

  private struct Connection {
    var isOpen = false
    var messages = 0
  }

  func run() throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard bound == 0, listen(listener, 4096) == 0 else { throw BenchError("cannot listen on 127.0.0.1:\(port)") }
    let poller = epoll_create1(0)
    watch(listener, by: poller)
    var connections = [Connection](repeating: Connection(), count: 65_536)
    var events = [epoll_event](repeating: epoll_event(), count: 512)
    var buffer = [UInt8](repeating: 0, count: 262_144)
    while true {
      let ready = epoll_wait(poller, &events, 512, -1)
      for index in 0..<max(0, Int(ready)) {
        let file = events[index].data.fd
        if file == listener {
          let accepted = accept(listener, nil, nil)
          guard accepted >= 0, accepted < connections.count else { continue }
          setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
          connections[Int(accepted)] = Connection()
          watch(accepted, by: poller)
          continue
        }
        let count = recv(file, &buffer, buffer.count, 0)
        guard count > 0 else {
          close(file)
          continue
        }
        answer(file, buffer, count, &connections[Int(file)])
      }
    }
  }

  private func watch(_ file: Int32, by poller: Int32) {
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    event.data.fd = file
    epoll_ctl(poller, EPOLL_CTL_ADD, file, &event)
  }

  private func answer(_ file: Int32, _ buffer: [UInt8], _ count: Int, _ connection: inout Connection) {
    guard connection.isOpen else {
      connection.isOpen = true
      send(file, Array(SocketFloor.handshake.utf8) + SocketFloor.frame(SocketFloor.welcome))
      return
    }
    var at = 0
    while at + 8 <= count {
      let short = Int(buffer[at + 1] & 127)
      let length = short == 126 ? Int(buffer[at + 2]) << 8 | Int(buffer[at + 3]) : short
      at += length + (short == 126 ? 8 : 6)
      connection.messages += 1
    }
    send(
      file,
      SocketFloor.frame(
        "{\"kind\":\"ack\",\"messages\":\(connection.messages),\"appended\":\(connection.messages),\"duplicates\":0,\"rejected\":0,\"offsets\":{\"0\":1}}"
      ))
  }

  private static func frame(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    return (bytes.count < 126 ? [0x81, UInt8(bytes.count)] : [0x81, 126, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)])
      + bytes
  }

  private func send(_ file: Int32, _ bytes: [UInt8]) { _ = Glibc.send(file, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
}
