import NIOCore
import Testing

@testable import Serving

private let times = ConnectionMachine.Times(request: .seconds(30), idle: .seconds(75))

/// Seconds of a clock that is set by hand.
private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(1) + .seconds(seconds) }

/// A request with a body of so many bytes; nil for one that does not say.
private func body(_ bytes: Int?, expectsContinue: Bool = false) -> ConnectionMachine.Head {
  ConnectionMachine.Head(hasBody: true, declaredBytes: bytes, expectsContinue: expectsContinue)
}

@Suite("The state of a connection")
struct ConnectionMachineTests {
  @Test("a request is answered when it has come whole, and the next may come behind it")
  func keepAlive() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    for turn in 0..<3 {
      #expect(machine.begin(ConnectionMachine.Head(), at(1)) == true)
      let waits = machine.admit(bodyBytesMax: 10)
      #expect(!waits)
      #expect(machine.end(at(1)) == .answer)
      #expect(machine.deadline == nil, "an answer has a time of its own")
      let isLast = machine.beginAnswer()
      #expect(!isLast, "turn \(turn)")
      #expect(machine.endAnswer() == .next)
      #expect(machine.flushed(at(2)) == true)
      #expect(machine.state == .awaiting && machine.deadline == at(77))
    }
  }

  @Test("a head is timed from the connection's beginning, later ones from their first byte, bodies from the head")
  func deadlines() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    machine.bytesCame(at(20))
    #expect(machine.deadline == at(30), "the first byte gives no more time")
    #expect(machine.begin(body(4), at(25)) == true)
    #expect(machine.deadline == at(55))
    _ = machine.admit(bodyBytesMax: 4)
    #expect(machine.body(4) == .take)
    #expect(machine.end(at(50)) == .answer)
    _ = machine.beginAnswer()
    _ = machine.endAnswer()
    #expect(machine.flushed(at(60)) == true)
    #expect(machine.deadline == at(135))
    machine.bytesCame(at(100))
    #expect(machine.deadline == at(130), "half a head has as long as the first had")
    machine.bytesCame(at(120))
    #expect(machine.deadline == at(130), "however often a byte comes")
    #expect(machine.timerFired(at(129), isUnsent: false) == .wait(at(130)))
    #expect(machine.timerFired(at(130), isUnsent: false) == .close)
  }

  @Test("of a head that is half there when the answer is out, the rest has the time of a head")
  func pipelinedHalf() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    _ = machine.begin(ConnectionMachine.Head(), at(0))
    _ = machine.admit(bodyBytesMax: 0)
    _ = machine.end(at(0))
    machine.bytesCame(at(1))
    _ = machine.beginAnswer()
    _ = machine.endAnswer()
    _ = machine.flushed(at(2))
    #expect(machine.deadline == at(32))
  }

  @Test("an idle connection whose peer still takes the last answer is given its idle time anew")
  func unsent() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    _ = machine.begin(ConnectionMachine.Head(), at(0))
    _ = machine.admit(bodyBytesMax: 0)
    _ = machine.end(at(0))
    _ = machine.beginAnswer()
    _ = machine.endAnswer()
    _ = machine.flushed(at(0))
    #expect(machine.timerFired(at(75), isUnsent: true) == .wait(at(150)))
    #expect(machine.timerFired(at(150), isUnsent: false) == .close)
  }

  @Test("a body is taken to its bound; beyond, its sender is told at once, and the connection ends")
  func bounded() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    _ = machine.begin(body(nil), at(0))
    _ = machine.admit(bodyBytesMax: 10)
    #expect(machine.body(10) == .take)
    #expect(machine.body(1) == .tooLarge)
    let isLast = machine.beginAnswer()
    #expect(isLast)
    #expect(machine.body(5) == .drop)
    #expect(machine.endAnswer() == .last)
    let closes = machine.outputEnded(at(1))
    #expect(!closes)
    #expect(machine.deadline == at(6), "what nobody wants is read for a while: a reset could overtake the answer")
    #expect(machine.end(at(2)) == .drop)
    #expect(machine.state == .lingering && machine.deadline == at(2) + .milliseconds(500))
  }

  @Test("a refusal waits for a short body, and not for a long one, one without a length, or one that waits to be asked for")
  func refusals() {
    let short = ConnectionMachine.strayBodyBytesMax
    for (head, refusal) in [
      (ConnectionMachine.Head(), ConnectionMachine.Refusal.whenWhole), (body(short), .whenWhole), (body(short + 1), .now),
      (body(nil), .now), (body(1, expectsContinue: true), .now),
    ] {
      var machine = ConnectionMachine(times, begunAt: at(0))
      _ = machine.begin(head, at(0))
      #expect(machine.refuse() == refusal, "\(head)")
      #expect(machine.body(1) == .drop)
      if refusal == .whenWhole { #expect(machine.end(at(0)) == .answer) }
      let isLast = machine.beginAnswer()
      #expect(isLast == (refusal == .now), "\(head)")
    }
  }

  @Test("whoever waits to be asked for his body is asked, unless he speaks HTTP/1.0")
  func expectations() {
    for (head, isAsked) in [
      (body(1), false), (body(1, expectsContinue: true), true),
      (ConnectionMachine.Head(hasBody: true, declaredBytes: 1, expectsContinue: true, knowsContinue: false), false),
    ] {
      var machine = ConnectionMachine(times, begunAt: at(0))
      _ = machine.begin(head, at(0))
      let asks = machine.admit(bodyBytesMax: 1)
      #expect(asks == isAsked)
    }
  }

  @Test("a peer that ends its side is answered, asked whether it is still there, and then left")
  func halfClosed() {
    var machine = ConnectionMachine(times, begunAt: at(0))
    _ = machine.begin(ConnectionMachine.Head(), at(0))
    _ = machine.admit(bodyBytesMax: 0)
    _ = machine.end(at(0))
    #expect(machine.mayProbe == false)
    let closes = machine.inputClosed()
    #expect(!closes)
    #expect(machine.mayProbe == true)
    let isLast = machine.beginAnswer()
    #expect(isLast)
    #expect(machine.mayProbe == false)
    #expect(machine.endAnswer() == .last)
    let isOver = machine.outputEnded(at(0))
    #expect(isOver)
    var idle = ConnectionMachine(times, begunAt: at(0))
    let isLeft = idle.inputClosed()
    #expect(isLeft, "nobody waits for an answer")
  }

  @Test("a service that ends closes what is idle, lets answers out, and waits for half a request once")
  func finish() {
    var idle = ConnectionMachine(times, begunAt: at(0))
    #expect(idle.finish() == true)
    var machine = ConnectionMachine(times, begunAt: at(0))
    _ = machine.begin(body(1), at(0))
    _ = machine.admit(bodyBytesMax: 1)
    #expect(machine.finish() == false)
    #expect(machine.finish() == true)
    var answering = ConnectionMachine(times, begunAt: at(0))
    _ = answering.begin(ConnectionMachine.Head(), at(0))
    _ = answering.admit(bodyBytesMax: 0)
    _ = answering.end(at(0))
    _ = answering.beginAnswer()
    #expect(answering.finish() == false)
    #expect(answering.finish() == false)
    #expect(answering.endAnswer() == .last, "a stream is not known to be the last when it begins")
  }

  @Test("a connection beyond the bound has little time, and one answer")
  func extra() {
    var machine = ConnectionMachine(times, begunAt: at(0), isExtra: true)
    #expect(machine.deadline == at(5))
    _ = machine.begin(ConnectionMachine.Head(), at(1))
    _ = machine.refuse()
    _ = machine.end(at(1))
    let isLast = machine.beginAnswer()
    #expect(isLast)
  }

  // MARK: every sequence

  /// The events of a connection.
  private enum Input: CaseIterable {
    case bytes, head, bodyHead, endlessHead, part, end, answer, answerEnd, outputEnded, inputClosed, finish, timer, upgrade
  }

  /// A machine, and what is known of it from outside.
  private struct Driven: ~Copyable {
    var machine = ConnectionMachine(times, begunAt: at(0))
    var now: Int64 = 0
    var isClosed = false
    var heads = 0, answersBegun = 0, answersEnded = 0
    var taken = 0
    /// Its answer has begun and not ended.
    var isAnswering = false
    var isRefusedNow = false
    var wasLast = false
    static let bytesMax = 10

    /// - Returns: False where this cannot happen now.
    mutating func take(_ input: Input) -> Bool {
      guard !isClosed, machine.state != .upgraded else { return false }
      now += 1
      switch input {
      case .bytes: machine.bytesCame(at(now))
      case .head: return begin(ConnectionMachine.Head(), refuses: false)
      case .bodyHead: return begin(body(ConnectionMachine.strayBodyBytesMax + 1), refuses: true)
      case .endlessHead: return begin(body(nil), refuses: false)
      case .part:
        guard machine.state == .reading else { return false }
        switch machine.body(6) {
        case .take: taken += 6
        case .drop: break
        case .tooLarge: begin(answer: true)
        }
      case .end:
        guard machine.state == .reading else { return false }
        if machine.end(at(now)) == .answer { #expect(answersBegun < heads) }
      case .answer:
        guard machine.state == .answering, machine.isAsked else { return false }
        begin(answer: false)
      case .answerEnd:
        guard isAnswering else { return false }
        isAnswering = false
        answersEnded += 1
        let end = machine.endAnswer()
        #expect(!wasLast || end == .last, "who has been told that it ends is not kept")
        wasLast = end == .last
        if end == .next { _ = machine.flushed(at(now)) }
      case .outputEnded:
        guard wasLast, !isAnswering, answersEnded > 0, machine.state != .awaiting else { return false }
        if machine.outputEnded(at(now)) { close() }
      case .inputClosed: if machine.inputClosed() { close() }
      case .finish: if machine.finish() { close() }
      case .timer: if machine.timerFired(at(now + 1000), isUnsent: false) == .close { close() }
      case .upgrade:
        guard machine.state == .answering, machine.isAsked else { return false }
        machine.upgrade()
      }
      return true
    }

    private mutating func begin(_ head: ConnectionMachine.Head, refuses: Bool) -> Bool {
      guard machine.state == .awaiting else {
        // Pipelined behind the last answer: nobody waits for it.
        let isTaken = machine.begin(head, at(now))
        #expect(!isTaken)
        return false
      }
      let isTaken = machine.begin(head, at(now))
      #expect(isTaken)
      heads += 1
      taken = 0
      if refuses {
        if machine.refuse() == .now { begin(answer: true) }
      } else {
        _ = machine.admit(bodyBytesMax: Driven.bytesMax)
      }
      return true
    }

    private mutating func begin(answer isEarly: Bool) {
      wasLast = machine.beginAnswer()
      #expect(!isEarly || wasLast, "a request that was not read to its end is the connection's last")
      isAnswering = true
      answersBegun += 1
    }

    private mutating func close() {
      isClosed = true
      machine.closed()
    }

    func check(_ inputs: [Input]) {
      let (state, isAsked, isTimed) = (machine.state, machine.isAsked, machine.deadline != nil)
      #expect(answersBegun <= heads && answersEnded <= answersBegun, "\(inputs)")
      #expect(taken <= Driven.bytesMax, "\(inputs)")
      #expect(!isAsked || answersBegun == heads - 1, "one request at a time: \(inputs)")
      switch state {
      case .awaiting, .reading, .lingering: #expect(isTimed, "it would be waited for without end: \(inputs)")
      case .answering:
        #expect(!isAnswering || !isAsked, "\(inputs)")
        // From the last answer's end until it is out, its reader has the time to take it.
        if answersEnded < heads { #expect(!isTimed, "an answer has a time of its own: \(inputs)") }
      case .upgraded, .closed: #expect(!isTimed, "\(inputs)")
      }
    }
  }

  @Test(
    "whatever happens in whatever order, each request is answered once at most, nothing is waited for without end, and no more is taken than may be"
  )
  func everySequence() {
    var sequences = 0
    func go(_ inputs: [Input], depth: Int) {
      for input in Input.allCases {
        var driven = Driven()
        let all = inputs + [input]
        var isPossible = true
        for one in all where isPossible { isPossible = driven.take(one) }
        guard isPossible else { continue }
        driven.check(all)
        sequences += 1
        if depth > 1 { go(all, depth: depth - 1) }
      }
    }
    go([], depth: 6)
    #expect(sequences > 10_000)
  }
}
