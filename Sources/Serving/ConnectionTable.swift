import Metrics
import NIOCore
import Synchronization

/// The connections of one service: their number, their addresses, and the order in which they give way when there is no more
/// room.
///
/// A connection is *silent* from its beginning until its first request's head, *reading* while a request's body is on its way,
/// *busy* while a request is answered, *idle* from then to the next head. Silent ones go first, the oldest of them, unless it has
/// come only just now; then those that are idle longest; then those whose bodies take longest. Busy ones stay.
/// - Complexity: Constant, except for an address that has as many connections as it may, whose oldest idle one is searched for.
public final class ConnectionTable: Sendable {
  /// The reason why a connection is served health and metrics only.
  public enum Shortage: Sendable, Hashable {
    /// There are as many connections as allowed, and all are busy.
    case full(connectionsMax: Int)
    /// The connection's address has as many connections as allowed, and all are busy.
    case address(connectionsMax: Int)
  }

  /// A silent connection younger than this is not the first to go, since its head may be on its way; the same holds for a body.
  static let freshTime = TimeAmount.seconds(1)

  private let limits: ServingLimits
  private let state = Mutex(State())
  private let displaced: Counter
  private let refused: Counter

  /// - Parameters:
  ///   - limits: The limits of connections.
  ///   - service: The service's name, for metrics.
  public init(_ limits: ServingLimits, of service: String) {
    self.limits = limits
    displaced = Counter(label: "penstock_connections_displaced_total", dimensions: [("service", service)])
    refused = Counter(label: "penstock_connections_refused_total", dimensions: [("service", service)])
  }

  public var count: Int { state.withLock { $0.count } }

  /// Takes a connection in, if necessary in place of another, which is closed.
  /// - Parameters:
  ///   - address: Nil for a peer without an address.
  ///   - close: Closes the connection, from any thread; called at most once, when it has to give way.
  /// - Returns: Its entry; call `leave` when it has ended. Nil where there is no room even to refuse it: close it.
  public func enter(_ address: PeerAddress?, close: @escaping @Sendable () -> Void) -> ConnectionPlace? {
    let now = NIODeadline.now()
    let (entered, closing) = state.withLock { state in state.enter(address, close, now, limits) }
    if let closing {
      displaced.increment()
      closing()
    }
    if entered == nil || entered?.shortage != nil { refused.increment() }
    return entered.map { ConnectionPlace(self, $0.key, $0.shortage, now) }
  }

  /// Returns when the last connection has left, or at the timeout.
  public func waitForNone(timeout: Duration) async {
    let deadline = ContinuousClock.now + timeout
    while count > 0, ContinuousClock.now < deadline {
      // Cancelled: the caller has stopped waiting.
      do { try await Task.sleep(for: .milliseconds(5)) } catch { return }
    }
  }

  fileprivate func change(_ key: ConnectionKey, to list: ConnectionState) -> Bool {
    state.withLock { $0.change(key, to: list, .now()) }
  }

  fileprivate func attach(_ key: ConnectionKey, _ close: @escaping @Sendable () -> Void) -> Bool {
    state.withLock { $0.attach(key, close) }
  }

  fileprivate func leave(_ key: ConnectionKey) { state.withLock { _ = $0.remove(key) } }
}

/// A connection's entry in the table. All methods may be called from any thread.
public final class ConnectionPlace: Sendable {
  /// Nil where everything is served.
  public let shortage: ConnectionTable.Shortage?
  public let enteredAt: NIODeadline
  private let table: ConnectionTable
  private let key: ConnectionKey

  fileprivate init(_ table: ConnectionTable, _ key: ConnectionKey, _ shortage: ConnectionTable.Shortage?, _ now: NIODeadline) {
    self.table = table
    self.key = key
    self.shortage = shortage
    enteredAt = now
  }

  /// A request's head has come, and its body is still to come.
  /// - Returns: False if the connection had to give way, and is being closed.
  public func reading() -> Bool { table.change(key, to: .reading) }

  /// A request has come whole.
  /// - Returns: False as in `reading`.
  public func busy() -> Bool { table.change(key, to: .busy) }

  /// The answer is out, and the next request may come.
  public func idle() { _ = table.change(key, to: .idle) }

  /// Sets how the connection is closed from now on.
  /// - Returns: False as in `busy`.
  public func attach(close: @escaping @Sendable () -> Void) -> Bool { table.attach(key, close) }

  /// The connection has ended. Further calls do nothing.
  public func leave() { table.leave(key) }
}

extension ConnectionTable.Shortage {
  var problem: HTTPProblem {
    switch self {
    case .full(let max):
      HTTPProblem(
        status: 503, code: "too_many_connections",
        detail: "\(max) connections are open and busy, which is the most there may be (connections_max); try again",
        headers: ["Retry-After": "1"])
    case .address(let max):
      HTTPProblem(
        status: 429, code: "too_many_connections",
        detail: "this address has \(max) busy connections, which is the most it may have (connections_per_address_max)",
        headers: ["Retry-After": "1"])
    }
  }
}

private struct ConnectionKey: Sendable {
  var index: Int
  var generation: Int
}

private enum ConnectionState: Int, Sendable {
  case silent, idle, reading
  /// A silent connection beyond the allowed number.
  case extra
  /// Busy connections are in no list: they do not give way.
  case busy
}

/// Slots, with a list through those of each state in the order in which they came to it.
private struct State {
  struct Slot {
    var close: (@Sendable () -> Void)?
    var generation = 0
    var state = ConnectionState.busy
    var isExtra = false
    var since = NIODeadline.uptimeNanoseconds(0)
    var address: PeerAddress?
    /// -1: none.
    var previous = -1
    var next = -1
  }

  private var slots: [Slot] = []
  private var free: [Int] = []
  private var first = [-1, -1, -1, -1]
  private var last = [-1, -1, -1, -1]
  private var ofAddress: [PeerAddress: Int] = [:]
  private var extras = 0
  private var regulars = 0

  var count: Int { regulars + extras }

  mutating func enter(
    _ address: PeerAddress?, _ close: @escaping @Sendable () -> Void, _ now: NIODeadline, _ limits: ServingLimits
  ) -> (entered: (key: ConnectionKey, shortage: ConnectionTable.Shortage?)?, closing: (@Sendable () -> Void)?) {
    var closing: (@Sendable () -> Void)?
    var shortage: ConnectionTable.Shortage?
    if let address, let max = limits.connectionsPerAddressMax, ofAddress[address, default: 0] >= max {
      if let oldest = oldestIdle(of: address) { closing = remove(oldest) } else { shortage = .address(connectionsMax: max) }
    } else if regulars >= limits.connectionsMax {
      if let oldest = oldestIdle(now) {
        closing = remove(oldest)
      } else {
        shortage = .full(connectionsMax: limits.connectionsMax)
      }
    }
    if shortage != nil, extras >= limits.healthConnections {
      guard first[ConnectionState.extra.rawValue] >= 0 else { return (nil, nil) }
      closing = remove(first[ConnectionState.extra.rawValue])
    }
    return ((add(address, close, now, isExtra: shortage != nil), shortage), closing)
  }

  /// - Returns: False where it has been removed.
  mutating func change(_ key: ConnectionKey, to state: ConnectionState, _ now: NIODeadline) -> Bool {
    guard slots[key.index].generation == key.generation else { return false }
    unlink(key.index)
    link(key.index, state, now)
    return true
  }

  mutating func attach(_ key: ConnectionKey, _ close: @escaping @Sendable () -> Void) -> Bool {
    guard slots[key.index].generation == key.generation else { return false }
    slots[key.index].close = close
    return true
  }

  mutating func remove(_ key: ConnectionKey) -> (@Sendable () -> Void)? {
    slots[key.index].generation == key.generation ? remove(key.index) : nil
  }

  private mutating func add(_ address: PeerAddress?, _ close: @escaping @Sendable () -> Void, _ now: NIODeadline, isExtra: Bool)
    -> ConnectionKey
  {
    let index: Int
    if let reused = free.popLast() {
      index = reused
    } else {
      index = slots.count
      slots.append(Slot())
    }
    slots[index].close = close
    slots[index].isExtra = isExtra
    if isExtra {
      extras += 1
    } else {
      regulars += 1
      slots[index].address = address
      if let address { ofAddress[address, default: 0] += 1 }
    }
    link(index, isExtra ? .extra : .silent, now)
    return ConnectionKey(index: index, generation: slots[index].generation)
  }

  /// - Returns: The closure that closes it.
  private mutating func remove(_ index: Int) -> (@Sendable () -> Void)? {
    unlink(index)
    let slot = slots[index]
    if slot.isExtra { extras -= 1 } else { regulars -= 1 }
    if let address = slot.address, let count = ofAddress[address] { ofAddress[address] = count == 1 ? nil : count - 1 }
    slots[index] = Slot(generation: slot.generation + 1)
    free.append(index)
    return slot.close
  }

  private func oldestIdle(_ now: NIODeadline) -> Int? {
    func oldest(_ state: ConnectionState, isFresh: Bool = true) -> Int? {
      let index = first[state.rawValue]
      return index >= 0 && (isFresh || slots[index].since + ConnectionTable.freshTime <= now) ? index : nil
    }
    return oldest(.silent, isFresh: false) ?? oldest(.idle) ?? oldest(.reading, isFresh: false) ?? oldest(.silent)
  }

  private func oldestIdle(of address: PeerAddress) -> Int? {
    for list in [ConnectionState.silent, .idle, .reading] {
      var index = first[list.rawValue]
      while index >= 0 {
        if slots[index].address == address { return index }
        index = slots[index].next
      }
    }
    return nil
  }

  private mutating func link(_ index: Int, _ state: ConnectionState, _ now: NIODeadline) {
    slots[index].state = state
    slots[index].since = now
    guard state != .busy else { return }
    let list = state.rawValue
    slots[index].previous = last[list]
    slots[index].next = -1
    if last[list] >= 0 { slots[last[list]].next = index } else { first[list] = index }
    last[list] = index
  }

  private mutating func unlink(_ index: Int) {
    let slot = slots[index]
    guard slot.state != .busy else { return }
    let list = slot.state.rawValue
    if slot.previous >= 0 { slots[slot.previous].next = slot.next } else { first[list] = slot.next }
    if slot.next >= 0 { slots[slot.next].previous = slot.previous } else { last[list] = slot.previous }
    slots[index].state = .busy
    slots[index].previous = -1
    slots[index].next = -1
  }
}
