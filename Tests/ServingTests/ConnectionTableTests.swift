import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Serving

/// Connections that note who was closed.
private final class Connections: Sendable {
  let table: ConnectionTable
  private let closings = Mutex<[String]>([])

  init(_ limits: ServingLimits) { table = ConnectionTable(limits, of: "test") }

  var closed: [String] { closings.withLock { $0 } }

  func enter(_ name: String, from address: String = "192.0.2.1") throws -> ConnectionPlace? {
    table.enter(PeerAddress(try SocketAddress(ipAddress: address, port: 1))) { self.closings.withLock { $0.append(name) } }
  }
}

@Suite("The table of a service's connections")
struct ConnectionTableTests {
  @Test("the one that is idle longest gives way, and busy ones stay")
  func oldestIdle() throws {
    let connections = Connections(ServingLimits(connectionsMax: 3))
    let places = try ["a", "b", "c"].map { try #require(try connections.enter($0)) }
    for place in places { #expect(place.busy()) }
    places[1].idle()
    places[0].idle()
    let d = try #require(try connections.enter("d"))
    #expect(d.shortage == nil && connections.closed == ["b"])
    #expect(!places[1].busy(), "it is being closed")
    #expect(d.busy())
    #expect(try connections.enter("e")?.shortage == nil)
    #expect(connections.closed == ["b", "a"])
    #expect(connections.table.count == 3)
  }

  @Test("where all are busy, a few more are let in to be told so, and the oldest of those gives way")
  func allBusy() throws {
    let connections = Connections(ServingLimits(connectionsMax: 1, healthConnections: 2))
    let busy = try #require(try connections.enter("busy"))
    #expect(busy.busy())
    let first = try #require(try connections.enter("first"))
    #expect(first.shortage == .full(connectionsMax: 1))
    #expect(first.busy())
    #expect(try connections.enter("second")?.shortage == .full(connectionsMax: 1))
    #expect(try connections.enter("third")?.shortage == .full(connectionsMax: 1))
    #expect(connections.closed == ["second"], "the first is being answered")
    busy.leave()
    busy.leave()
    #expect(try connections.enter("fourth")?.shortage == nil)
  }

  @Test("without room for more, the next is not let in at all")
  func noRoom() throws {
    let connections = Connections(ServingLimits(connectionsMax: 1, healthConnections: 0))
    let busy = try #require(try connections.enter("busy"))
    #expect(busy.busy())
    #expect(try connections.enter("next") == nil)
  }

  @Test("an address has its own bound, and only its own connections give way for it")
  func perAddress() throws {
    let connections = Connections(ServingLimits(connectionsMax: 100, connectionsPerAddressMax: 2))
    let other = try #require(try connections.enter("other", from: "192.0.2.9"))
    other.idle()
    let first = try #require(try connections.enter("first"))
    let second = try #require(try connections.enter("second"))
    #expect(first.busy())
    #expect(try connections.enter("third")?.shortage == nil)
    #expect(connections.closed == ["second"])
    #expect(!second.busy())
    // One network of IPv6 counts as one, and an IPv4 address however it is written.
    #expect(try connections.enter("a", from: "2001:db8:0:1::1")?.busy() == true)
    #expect(try connections.enter("b", from: "2001:db8:0:1:ffff::2")?.busy() == true)
    #expect(try connections.enter("c", from: "2001:db8:0:1::3")?.shortage == .address(connectionsMax: 2))
    #expect(try connections.enter("d", from: "2001:db8:0:2::3")?.shortage == nil)
    #expect(try connections.enter("mapped", from: "::ffff:192.0.2.1")?.shortage == nil)
    #expect(connections.closed == ["second", "third"])
  }

  @Test("one that has only just come is not the first to go")
  func fresh() throws {
    let connections = Connections(ServingLimits(connectionsMax: 2))
    let idle = try #require(try connections.enter("idle"))
    #expect(idle.busy())
    idle.idle()
    _ = try connections.enter("fresh")
    _ = try connections.enter("next")
    #expect(connections.closed == ["idle"])
    _ = try connections.enter("last")
    #expect(connections.closed == ["idle", "fresh"])
  }

  @Test("a body that is long on its way gives way where nobody is idle")
  func slowBodies() async throws {
    let connections = Connections(ServingLimits(connectionsMax: 2))
    let body = try #require(try connections.enter("body"))
    let idle = try #require(try connections.enter("idle"))
    #expect(body.reading() && idle.busy())
    idle.idle()
    _ = try connections.enter("first")
    #expect(connections.closed == ["idle"])
    // Neither has taken long: a connection without a head is the likelier to be nobody's.
    let last = try #require(try connections.enter("last"))
    #expect(connections.closed == ["idle", "first"] && last.busy())
    while NIODeadline.now() < body.enteredAt + ConnectionTable.freshTime + .milliseconds(50) {
      try await Task.sleep(for: .milliseconds(10))
    }
    _ = try connections.enter("end")
    #expect(connections.closed == ["idle", "first", "body"])
    #expect(!body.busy())
  }

  @Test("as a list that is searched would have it, whatever happens")
  func model() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    let connections = Connections(ServingLimits(connectionsMax: 6, healthConnections: 0))
    var places: [String: ConnectionPlace] = [:]
    // Oldest first; all are busy once, so that no time counts.
    var busy: [String] = [], idle: [String] = [], closed: [String] = []
    for step in 0..<2000 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let name = "\(step)"
        if busy.count + idle.count == 6, !idle.isEmpty { closed.append(idle.removeFirst()) }
        let place = try connections.enter(name)
        #expect((place != nil) == (busy.count + idle.count < 6), "seed \(seed)")
        guard let place else { continue }
        #expect(place.busy())
        places[name] = place
        busy.append(name)
      case 1:
        guard let name = busy.randomElement(using: &random) else { continue }
        busy.removeAll { $0 == name }
        idle.append(name)
        places[name]?.idle()
      case 2:
        guard let name = idle.randomElement(using: &random) else { continue }
        idle.removeAll { $0 == name }
        busy.append(name)
        #expect(places[name]?.busy() == true, "seed \(seed)")
      default:
        guard let name = (busy + idle).randomElement(using: &random) else { continue }
        busy.removeAll { $0 == name }
        idle.removeAll { $0 == name }
        places[name]?.leave()
      }
      #expect(connections.closed == closed, "seed \(seed), step \(step)")
      #expect(connections.table.count == busy.count + idle.count, "seed \(seed), step \(step)")
    }
  }
}
