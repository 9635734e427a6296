#if os(Linux)
  import CEpoll
  import Glibc
  import Synchronization

  /// A thread that waits for many sockets at once, by epoll, and calls the handler of each that is ready.
  ///
  /// A turn handles the sockets that have become ready, those with more to read, the timers that are due, the work given by
  /// other threads, and the work given by this thread itself. So work that handlers leave to `execute` runs after all ready
  /// sockets were read. The thread sleeps only when there is nothing of these, and only then does a wake-up cost anything; or
  /// for a moment when sockets become ready faster than it is worth to run for each (`TurnPacer`). A turn reads the clock once.
  public final class Reactor: @unchecked Sendable {
    // Invariant of the unchecked conformance: the properties below "Only the reactor's thread touches these" are used by that
    // thread alone; each public method that uses them checks it. The others are immutable, or atomic, or locked.

    /// Sockets looked at in one turn; further ready sockets are found in the next turn.
    static let eventsPerTurn = 1024

    private let name: String
    private let epoll: Int32
    private let wakeUp: Int32
    private let inbox = ReactorInbox()
    private let thread = Atomic<UInt>(0)
    private let ended = Mutex<(isEnded: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

    // Only the reactor's thread touches these:
    private struct Slot {
      var handler: (any SocketHandler)?
      var descriptor: Int32 = -1
      var generation: UInt32 = 0
      /// 0: no timer is set.
      var timerTick: UInt64 = 0
      /// The turn in which it is reported as readable, whatever the system says; 0 for none.
      var againTurn: UInt64 = 0
    }

    private static let wakeUpBits = UInt64.max
    private var slots: [Slot] = []
    private var freeSlots: [UInt32] = []
    private var timers = TimerWheel(now: Reactor.monotonicNow())
    private var own: [() -> Void] = []
    /// Sockets to be reported as readable in the next turn: the ready list of edge-triggered sockets.
    private var again: [UInt64] = []
    private var turn: UInt64 = 1
    private var turnBegan = Reactor.monotonicNow()
    private var isStopping = false

    /// Begins the thread.
    /// - Parameter name: The thread's name, 15 bytes at most.
    public static func start(name: String) throws(SocketError) -> Reactor {
      let reactor = try Reactor(name: name)
      var thread = pthread_t()
      let kept = Unmanaged.passRetained(reactor)
      let status = pthread_create(&thread, nil, Reactor.threadMain, kept.toOpaque())
      guard status == 0 else {
        kept.release()
        throw SocketError("pthread_create", errno: status)
      }
      pthread_detach(thread)
      return reactor
    }

    private static let threadMain: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
      guard let argument else { return nil }
      let reactor = Unmanaged<Reactor>.fromOpaque(argument).takeRetainedValue()
      reactor.thread.store(UInt(pthread_self()), ordering: .releasing)
      cepoll_name_thread(pthread_self(), reactor.name)
      reactor.run()
      return nil
    }

    private init(name: String) throws(SocketError) {
      self.name = name
      epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
      guard epoll >= 0 else { throw SocketError("epoll_create1", errno: errno) }
      wakeUp = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
      guard wakeUp >= 0 else {
        let error = SocketError("eventfd", errno: errno)
        close(epoll)
        throw error
      }
      // Edge-triggered: each write is reported once, and the counter never has to be read.
      var event = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(u64: Reactor.wakeUpBits))
      guard epoll_ctl(epoll, EPOLL_CTL_ADD, wakeUp, &event) == 0 else { throw SocketError("epoll_ctl", errno: errno) }
    }

    deinit {
      close(wakeUp)
      close(epoll)
    }

    // MARK: any thread

    /// Whether this is the reactor's thread.
    public var isCurrent: Bool { thread.load(ordering: .acquiring) == UInt(pthread_self()) }

    /// Runs `work` on the reactor's thread, after the work of this turn. Work is dropped once the reactor has ended.
    public func execute(_ work: @escaping @Sendable () -> Void) {
      if isCurrent {
        own.append(work)
      } else if inbox.push(work) {
        var one: UInt64 = 1
        // The write fails only when the counter is full, and then the thread has been woken.
        _ = write(wakeUp, &one, 8)
      }
    }

    /// Ends the reactor. Returns when its thread has told every handler.
    public func stop() async {
      execute { self.isStopping = true }
      await withCheckedContinuation { continuation in
        let isEnded = ended.withLock { ended in
          if !ended.isEnded { ended.waiters.append(continuation) }
          return ended.isEnded
        }
        if isEnded { continuation.resume() }
      }
    }

    // MARK: on the thread

    /// Watches a socket. The handler is kept until `remove`.
    public func add(_ descriptor: Int32, _ handler: any SocketHandler, _ watched: Readiness) throws(SocketError) -> SocketKey {
      precondition(isCurrent, "a reactor's sockets belong to its thread")
      let index: UInt32
      if let free = freeSlots.popLast() {
        index = free
      } else {
        index = UInt32(slots.count)
        slots.append(Slot())
      }
      let key = SocketKey(index: index, generation: slots[Int(index)].generation)
      do throws(SocketError) {
        try control(EPOLL_CTL_ADD, descriptor, key, watched)
      } catch {
        freeSlots.append(index)
        throw error
      }
      slots[Int(index)].handler = handler
      slots[Int(index)].descriptor = descriptor
      return key
    }

    /// Sets the readiness that the socket is watched for from now on.
    public func watch(_ key: SocketKey, _ watched: Readiness) throws(SocketError) {
      guard let index = index(of: key) else { return }
      try control(EPOLL_CTL_MOD, slots[index].descriptor, key, watched)
    }

    public func replaceHandler(_ key: SocketKey, _ handler: any SocketHandler) {
      guard let index = index(of: key) else { return }
      slots[index].handler = handler
    }

    /// Watches the socket no longer, and forgets its timer. To be called before it is closed.
    public func remove(_ key: SocketKey) {
      guard let index = index(of: key) else { return }
      var event = epoll_event()
      _ = epoll_ctl(epoll, EPOLL_CTL_DEL, slots[index].descriptor, &event)
      slots[index] = Slot(generation: slots[index].generation &+ 1)
      freeSlots.append(key.index)
    }

    /// Sets the socket's one timer, in place of the one before. The timer is exact to 10 ms.
    public func setTimer(_ key: SocketKey, after duration: Duration) {
      guard let index = index(of: key) else { return }
      let (seconds, attoseconds) = duration.components
      let nanoseconds = UInt64(clamping: seconds) * 1_000_000_000 + UInt64(clamping: attoseconds / 1_000_000_000)
      slots[index].timerTick = timers.insert(key.bits, deadline: Reactor.monotonicNow() + nanoseconds)
    }

    public func clearTimer(_ key: SocketKey) {
      guard let index = index(of: key) else { return }
      slots[index].timerTick = 0
    }

    /// Reports the socket as readable in the next turn, once: it is watched for arrival, and has more bytes than its handler
    /// took. Sockets of which the system tells take their turn with it, so that one that sends without end holds up no others.
    public func readAgain(_ key: SocketKey) {
      guard let index = index(of: key), slots[index].againTurn != turn + 1 else { return }
      slots[index].againTurn = turn + 1
      again.append(key.bits)
    }

    /// When this turn began: nanoseconds of a clock that only rises.
    public var turnBeganAt: UInt64 {
      precondition(isCurrent, "a reactor's turn belongs to its thread")
      return turnBegan
    }

    private func index(of key: SocketKey) -> Int? {
      precondition(isCurrent, "a reactor's sockets belong to its thread")
      let index = Int(key.index)
      guard index < slots.count, slots[index].generation == key.generation, slots[index].handler != nil else { return nil }
      return index
    }

    private func control(_ operation: Int32, _ descriptor: Int32, _ key: SocketKey, _ watched: Readiness) throws(SocketError) {
      var events: UInt32 = 0
      if watched.contains(.read) { events |= EPOLLIN.rawValue }
      if watched.contains(.write) { events |= EPOLLOUT.rawValue }
      if watched.contains(.onArrival) { events |= EPOLLET.rawValue | EPOLLRDHUP.rawValue }
      var event = epoll_event(events: events, data: epoll_data_t(u64: key.bits))
      guard epoll_ctl(epoll, operation, descriptor, &event) == 0 else { throw SocketError("epoll_ctl", errno: errno) }
    }

    // MARK: the loop

    private func run() {
      let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: Reactor.eventsPerTurn)
      defer { events.deallocate() }
      var due: [TimerWheel.Entry] = []
      var given: [@Sendable () -> Void] = []
      var taken: [UInt64] = []
      var pacer = TurnPacer(now: turnBegan)
      while !isStopping {
        var ready = epoll_wait(epoll, events, Int32(Reactor.eventsPerTurn), 0)
        if ready == 0, own.isEmpty, again.isEmpty, inbox.fallAsleep() {
          ready = epoll_wait(epoll, events, Int32(Reactor.eventsPerTurn), millisecondsToSleep())
        }
        turn += 1
        turnBegan = Reactor.monotonicNow()
        swap(&again, &taken)
        for index in 0..<Int(max(0, ready)) { report(events[index]) }
        for bits in taken { reportAgain(bits) }
        let readyCount = Int(max(0, ready)) + taken.count
        taken.removeAll(keepingCapacity: true)
        fireTimers(&due)
        inbox.takeAll(&given)
        for work in given { work() }
        given.removeAll(keepingCapacity: true)
        runOwn()
        let pause = pacer.pause(ready: readyCount, now: turnBegan)
        if again.isEmpty { sleep(nanoseconds: pause) }
      }
      end()
    }

    private func report(_ event: epoll_event) {
      let bits = event.data.u64
      guard bits != Reactor.wakeUpBits, let handler = handler(bits) else { return }
      var readiness = Readiness()
      if event.events & EPOLLIN.rawValue != 0 { readiness.insert(.read) }
      if event.events & EPOLLOUT.rawValue != 0 { readiness.insert(.write) }
      if event.events & EPOLLRDHUP.rawValue != 0 { readiness.formUnion([.read, .ended]) }
      if event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { readiness.insert(.broken) }
      // One report a turn stands for both.
      let index = Int(SocketKey(bits).index)
      if slots[index].againTurn == turn {
        slots[index].againTurn = 0
        readiness.insert(.read)
      }
      handler.ready(readiness)
    }

    private func reportAgain(_ bits: UInt64) {
      let index = Int(SocketKey(bits).index)
      guard let handler = handler(bits), slots[index].againTurn == turn else { return }
      slots[index].againTurn = 0
      handler.ready(.read)
    }

    /// Nil if the socket was removed earlier in this turn.
    private func handler(_ bits: UInt64) -> (any SocketHandler)? {
      let key = SocketKey(bits)
      guard slots[Int(key.index)].generation == key.generation else { return nil }
      return slots[Int(key.index)].handler
    }

    private func fireTimers(_ due: inout [TimerWheel.Entry]) {
      guard timers.count > 0 else { return }
      timers.advance(to: turnBegan, &due)
      for entry in due {
        // A timer that was set again or cleared since has another tick.
        guard let handler = handler(entry.key), slots[Int(SocketKey(entry.key).index)].timerTick == entry.tick else { continue }
        slots[Int(SocketKey(entry.key).index)].timerTick = 0
        handler.timerFired()
      }
      due.removeAll(keepingCapacity: true)
    }

    private func sleep(nanoseconds: UInt64) {
      guard nanoseconds > 0 else { return }
      var time = timespec(tv_sec: 0, tv_nsec: Int(nanoseconds))
      // Cut short by a signal: the turn comes sooner.
      nanosleep(&time, nil)
    }

    /// Runs the work that was added before this turn; work added meanwhile waits for the next turn.
    private func runOwn() {
      guard !own.isEmpty else { return }
      let work = own
      own = []
      for one in work { one() }
    }

    private func millisecondsToSleep() -> Int32 {
      guard let deadline = timers.nextDeadline() else { return -1 }
      let now = Reactor.monotonicNow()
      return deadline <= now ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }

    private func end() {
      for slot in slots {
        if let handler = slot.handler { handler.reactorStops() }
      }
      slots = []
      own = []
      inbox.close()
      let waiters = ended.withLock { ended in
        ended.isEnded = true
        defer { ended.waiters = [] }
        return ended.waiters
      }
      for waiter in waiters { waiter.resume() }
    }

    /// Nanoseconds of a clock that only rises.
    static func monotonicNow() -> UInt64 {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
  }
#endif
