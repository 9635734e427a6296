#if os(Linux)
  import Glibc
  import Synchronization
  import Testing

  @testable import Sockets

  /// Two ends of one connection.
  private func connectedPair() -> (StreamSocket, StreamSocket) {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    #expect(socketpair(AF_UNIX, kind, 0, &ends) == 0)
    return (StreamSocket(descriptor: ends[0]), StreamSocket(descriptor: ends[1]))
  }

  /// Runs `work` on the reactor's thread.
  private func on<Value: Sendable>(_ reactor: Reactor, _ work: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in reactor.execute { continuation.resume(returning: work()) } }
  }

  /// Hands each report on; touched on the reactor's thread alone.
  private final class Reports: SocketHandler, @unchecked Sendable {
    let stream: AsyncStream<String>
    private let report: AsyncStream<String>.Continuation
    var onReady: ((Readiness) -> String?)?

    init() { (stream, report) = AsyncStream.makeStream() }

    func ready(_ readiness: Readiness) {
      if let text = onReady?(readiness) { report.yield(text) }
    }
    func timerFired() { report.yield("timer") }
    func reactorStops() {
      report.yield("stopped")
      report.finish()
    }
  }

  /// Values that several threads write down.
  private final class Notes<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    var value: Value { state.withLock { $0 } }
    func change<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result { state.withLock { body(&$0) } }
  }

  @Suite("The reactor", .timeLimit(.minutes(1)))
  struct ReactorTests {
    @Test("reports bytes as long as they lie there, and their end")
    func reading() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports()
      let key = await on(reactor) { () -> SocketKey? in
        reports.onReady = { _ in
          var byte = [UInt8](repeating: 0, count: 1)
          switch byte.withUnsafeMutableBytes({ ours.read(into: $0) }) {
          case .bytes: return String(decoding: byte, as: UTF8.self)
          case .wouldBlock: return nil
          case .ended:
            ours.close()
            return "end"
          case .failed(let errno): return "failed \(errno)"
          }
        }
        return try? reactor.add(ours.descriptor, reports, .read)
      }
      #expect(key != nil)
      #expect(Array("abc".utf8).withUnsafeBytes { theirs.write($0) } == .bytes(3))
      theirs.close()
      var seen: [String] = []
      for await report in reports.stream {
        seen.append(report)
        if report == "end" { break }
      }
      #expect(seen == ["a", "b", "c", "end"])
      await reactor.stop()
    }

    @Test("watching for arrival reports once what is looked at and left there")
    func arrival() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports()
      let added = await on(reactor) { () -> Bool in
        reports.onReady = { _ in
          var bytes = [UInt8](repeating: 0, count: 16)
          guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ ours.peek(into: $0) }) else { return "nothing" }
          return String(decoding: bytes[..<count], as: UTF8.self)
        }
        return (try? reactor.add(ours.descriptor, reports, [.read, .onArrival])) != nil
      }
      #expect(added)
      var iterator = reports.stream.makeAsyncIterator()
      _ = Array("a".utf8).withUnsafeBytes { theirs.write($0) }
      #expect(await iterator.next() == "a")
      // Many turns go by without another report.
      for _ in 0..<20 { await on(reactor) {} }
      _ = Array("b".utf8).withUnsafeBytes { theirs.write($0) }
      #expect(await iterator.next() == "ab")
      await reactor.stop()
      #expect(await iterator.next() == "stopped")
      ours.close()
      theirs.close()
    }

    @Test("what is left unread is reported again when asked for, once a turn, and not after a short read")
    func again() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports()
      let keys = Notes<SocketKey?>(nil)
      let added = await on(reactor) { () -> Bool in
        reports.onReady = { _ in
          var bytes = [UInt8](repeating: 0, count: 2)
          guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ ours.read(into: $0) }) else { return "nothing" }
          if count == 2, let key = keys.value {
            // Asked for twice, reported once.
            reactor.readAgain(key)
            reactor.readAgain(key)
          }
          return String(decoding: bytes[..<count], as: UTF8.self)
        }
        let key = try? reactor.add(ours.descriptor, reports, [.read, .onArrival])
        keys.change { $0 = key }
        return key != nil
      }
      #expect(added)
      var iterator = reports.stream.makeAsyncIterator()
      _ = Array("abcde".utf8).withUnsafeBytes { theirs.write($0) }
      for expected in ["ab", "cd", "e"] { #expect(await iterator.next() == expected) }
      for _ in 0..<20 { await on(reactor) {} }
      _ = Array("f".utf8).withUnsafeBytes { theirs.write($0) }
      #expect(await iterator.next() == "f")
      await reactor.stop()
      #expect(await iterator.next() == "stopped")
      ours.close()
      theirs.close()
    }

    @Test("sockets that always have more take turns with each other, and with one that becomes ready")
    func fairness() async throws {
      let reactor = try Reactor.start(name: "test")
      let pairs = [connectedPair(), connectedPair(), connectedPair()]
      let counts = Notes<[Int]>([0, 0, 0])
      let keys = Notes<[Int: SocketKey]>([:])
      let reports = pairs.map { _ in Reports() }
      let seen = Notes<[Int]?>(nil)
      await on(reactor) {
        for (index, pair) in pairs.enumerated() {
          let ours = pair.0
          reports[index].onReady = { _ in
            counts.change { $0[index] += 1 }
            if index == 2 {
              // The third reads what it has, and notes how far the others are.
              var byte = [UInt8](repeating: 0, count: 16)
              _ = byte.withUnsafeMutableBytes { ours.read(into: $0) }
              let now = counts.value
              seen.change { $0 = now }
            } else if let key = keys.value[index] {
              reactor.readAgain(key)
            }
            return nil
          }
          let key = try? reactor.add(ours.descriptor, reports[index], [.read, .onArrival])
          keys.change { $0[index] = key }
          if index < 2, let key { reactor.readAgain(key) }
        }
      }
      while counts.value[0] < 1000 { await on(reactor) {} }
      let before = await on(reactor) { () -> [Int] in
        _ = [UInt8(1)].withUnsafeBytes { pairs[2].1.write($0) }
        return counts.value
      }
      while seen.value == nil { await on(reactor) {} }
      let after = try #require(seen.value)
      #expect(abs(after[0] - after[1]) <= 1, "one a turn each")
      #expect(after[0] - before[0] <= 2, "it is reported in the next turn, whatever the others have")
      await reactor.stop()
      for pair in pairs {
        pair.0.close()
        pair.1.close()
      }
    }

    @Test("the end of a peer is reported with the bytes before it, since no edge tells of it again")
    func endWithBytes() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports()
      let added = await on(reactor) { () -> Bool in
        reports.onReady = { readiness in
          var bytes = [UInt8](repeating: 0, count: 16)
          guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ ours.read(into: $0) }) else { return "nothing" }
          return "\(String(decoding: bytes[..<count], as: UTF8.self)) \(readiness.contains(.ended))"
        }
        // Both are there before the reactor looks.
        _ = Array("last".utf8).withUnsafeBytes { theirs.write($0) }
        theirs.shutDownOutput()
        return (try? reactor.add(ours.descriptor, reports, [.read, .onArrival])) != nil
      }
      #expect(added)
      var iterator = reports.stream.makeAsyncIterator()
      #expect(await iterator.next() == "last true")
      await reactor.stop()
      ours.close()
      theirs.close()
    }

    @Test("a socket that was removed is not reported again, nor the one that took its place")
    func removedAgain() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports(), replacement = Reports()
      await on(reactor) {
        replacement.onReady = { _ in "reported" }
        guard let key = try? reactor.add(ours.descriptor, reports, [.read, .onArrival]) else { return }
        reactor.readAgain(key)
        reactor.remove(key)
        _ = try? reactor.add(ours.descriptor, replacement, [.read, .onArrival])
      }
      for _ in 0..<20 { await on(reactor) {} }
      await reactor.stop()
      var seen: [String] = []
      for await report in replacement.stream { seen.append(report) }
      #expect(seen == ["stopped"])
      ours.close()
      theirs.close()
    }

    @Test("a socket removed in the turn that found it ready is not reported, nor the one that took its place")
    func removal() async throws {
      let reactor = try Reactor.start(name: "test")
      let (first, firstPeer) = connectedPair()
      let (second, secondPeer) = connectedPair()
      let keys = Notes<[Int: SocketKey]>([:])
      let seen = Notes<[Int]>([])
      let reports = [Reports(), Reports()]
      let replacement = Reports()
      let sockets = [first, second]
      // Both become ready before the reactor looks: it is kept busy until then.
      await on(reactor) {
        for (index, socket) in sockets.enumerated() {
          reports[index].onReady = { _ in
            // Whichever comes first removes the other, whose place is taken at once.
            let other = 1 - index
            let (taken, mine) = keys.change { ($0.removeValue(forKey: other), $0[index]) }
            if let taken {
              reactor.remove(taken)
              _ = try? reactor.add(sockets[other].descriptor, replacement, [])
            }
            if let mine { try? reactor.watch(mine, []) }
            seen.change { $0.append(index) }
            return nil
          }
          let key = try? reactor.add(socket.descriptor, reports[index], .read)
          keys.change { $0[index] = key }
        }
        _ = [UInt8(1)].withUnsafeBytes { firstPeer.write($0) }
        _ = [UInt8(1)].withUnsafeBytes { secondPeer.write($0) }
      }
      for _ in 0..<20 { await on(reactor) {} }
      await reactor.stop()
      #expect(seen.value.count == 1)
      var late: [String] = []
      for await report in replacement.stream { late.append(report) }
      #expect(late == ["stopped"])
      for socket in [first, second, firstPeer, secondPeer] { socket.close() }
    }

    @Test("a socket has one timer, the last set")
    func timers() async throws {
      let reactor = try Reactor.start(name: "test")
      let (ours, theirs) = connectedPair()
      let reports = Reports()
      let start = ContinuousClock.now
      await on(reactor) {
        guard let key = try? reactor.add(ours.descriptor, reports, []) else { return }
        reactor.setTimer(key, after: .milliseconds(1))
        reactor.setTimer(key, after: .milliseconds(80))
      }
      var iterator = reports.stream.makeAsyncIterator()
      #expect(await iterator.next() == "timer")
      #expect(ContinuousClock.now - start >= .milliseconds(79))
      await reactor.stop()
      #expect(await iterator.next() == "stopped")
      ours.close()
      theirs.close()
    }

    @Test(
      "work given from many threads is done, each thread's in its order, and none is forgotten while the reactor falls asleep")
    func work() async throws {
      let reactor = try Reactor.start(name: "test")
      let done = Notes<[Int: [Int]]>([:])
      await withTaskGroup(of: Void.self) { group in
        for giver in 0..<4 {
          group.addTask {
            for number in 0..<500 {
              reactor.execute { done.change { $0[giver, default: []].append(number) } }
              // Now and then all the way through, so that it sleeps in between.
              if number % 50 == 0 { await on(reactor) {} }
            }
            await on(reactor) {}
          }
        }
      }
      #expect(done.value == [0, 1, 2, 3].reduce(into: [:]) { $0[$1] = Array(0..<500) })
      await reactor.stop()
      // Dropped, and nobody waits for it.
      reactor.execute { Issue.record("ran after the end") }
      await reactor.stop()
    }

    @Test("what this thread gives itself is done after all that is ready was reported")
    func ownWork() async throws {
      let reactor = try Reactor.start(name: "test")
      let order = Notes<[String]>([])
      await on(reactor) {
        reactor.execute { order.change { $0.append("own") } }
        order.change { $0.append("given") }
      }
      await on(reactor) {}
      #expect(order.value == ["given", "own"])
      await reactor.stop()
    }
  }
#endif
