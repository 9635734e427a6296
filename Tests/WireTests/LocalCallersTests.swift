import Events
import LogTestSupport
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import Testing

@testable import Wire

private struct Hello: WireRoutes {
  var table: RouteTable<WireEndpoint> {
    RouteTable([.read("/v1/log") { request in WireResponse(["path": .string(String(request.path))]) }])
  }
  var openAPI: [UInt8] { Array("{}".utf8) }
}

@Suite("Users of this machine") struct LocalCallersTests {
  @Test("the owner of a socket is the one the kernel's table names, if a process holds it still")
  func table() {
    let table = Array(
      """
        sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
         0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 111 1 0000000000000000 100 0 0 10 0
         1: 0100007F:C350 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1001        0 222 1 0000000000000000 20 4 30 10 -1
         2: 0100007F:C351 0100007F:1F40 06 00000000:00000000 03:00000F3A 00000000     0        0 0 3 0000000000000000
         3: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000     7        0 333 1 0000000000000000 20 4 30 10 -1
      """.utf8)
    #expect(SocketOwner.find("0100007F:C350 0100007F:1F40", in: table) == 1001)
    #expect(SocketOwner.find("0100007F:1F40 0100007F:C350", in: table) == 7)
    // Left by its process: the kernel shows root's number for whoever it was.
    #expect(SocketOwner.find("0100007F:C351 0100007F:1F40", in: table) == nil)
    #expect(SocketOwner.find("0100007F:C352 0100007F:1F40", in: table) == nil)
  }

  @Test("what is no probe is answered to the users it is for, and refused to all others", arguments: ["127.0.0.1", "::1"])
  func server(host: String) async throws {
    for (callers, status) in [(LocalCallers(users: []), 200), (LocalCallers(exactly: [geteuid() &+ 4711]), 403)] {
      let server = WireServer(
        name: "log", host: host, port: 0, group: ServedLog.group, routes: Hello(),
        probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), callers: callers, logger: quiet)
      let port = try #require(try await server.start()?.port)
      func answer(_ path: String) async throws -> String {
        let channel = try await ClientBootstrap(group: ServedLog.group).connect(host: host, port: port) { channel in
          channel.eventLoop.makeCompletedFuture {
            try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
          }
        }
        return try await channel.executeThenClose { inbound, outbound in
          try await outbound.write(ByteBuffer(string: "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
          var text = ""
          for try await part in inbound { text += String(buffer: part) }
          return text
        }
      }
      #expect(try await answer("/v1/log").hasPrefix("HTTP/1.1 \(status) "))
      #expect(try await answer("/readyz").hasPrefix("HTTP/1.1 200 "))
      #expect(try await answer("/livez").hasPrefix("HTTP/1.1 200 "))
      await server.shutDown(timeout: .seconds(1))
    }
  }
}
