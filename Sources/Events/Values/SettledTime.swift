import Synchronization

/// The system's time, carried on by a clock that nobody sets. It follows small corrections of the system's clock, but not a jump
/// until its owner says so.
public struct SettledTime: Sendable {
  /// The nanoseconds that the system's clock may be off at a look.
  public static let slack: Int64 = 1_000_000_000

  /// The result of a look; nanoseconds.
  public enum Sight: Sendable, Hashable {
    case steady
    /// The system's clock has jumped just now.
    case jumped(by: Int64)
    /// The clock has kept to the time it jumped to.
    case lasting(jump: Int64, time: Int64)
    /// The clock is back where it was.
    case back
  }

  /// The settled time less the steady clock's. Nanoseconds.
  public private(set) var offset: Int64
  /// The offset to which the system's clock has jumped, and since when, by the steady clock.
  private var jump: (offset: Int64, since: Int64)?

  /// - Parameters:
  ///   - wall: The system's time.
  ///   - steady: Nanoseconds of a clock that only rises, in sleep too.
  public init(wall: Timestamp, steady: Int64) {
    offset = wall.nanoseconds &- steady
  }

  /// The settled time. It is cheap: between two looks it ignores a jump.
  public mutating func time(wall: Timestamp, steady: Int64) -> Timestamp {
    let deviation = wall.nanoseconds &- (steady &+ offset)
    if jump == nil, deviation.magnitude <= UInt64(SettledTime.slack) { offset &+= deviation }
    return Timestamp(nanoseconds: steady &+ offset)
  }

  /// Looks whether the system's clock has jumped. To be called about every second.
  public mutating func look(wall: Timestamp, steady: Int64) -> Sight {
    let deviation = wall.nanoseconds &- (steady &+ offset)
    let slack = UInt64(SettledTime.slack)
    if deviation.magnitude <= slack {
      offset &+= deviation
      return jump.take() == nil ? .steady : .back
    }
    let wanted = offset &+ deviation
    if let jump, (jump.offset &- wanted).magnitude <= slack { return .lasting(jump: deviation, time: steady &- jump.since) }
    jump = (wanted, steady)
    return .jumped(by: deviation)
  }

  /// Follows the system's clock to where it is.
  public mutating func settle(wall: Timestamp, steady: Int64) {
    offset = wall.nanoseconds &- steady
    jump = nil
  }
}

/// The system's time for moment-to-moment decisions: a jump counts once it has lasted.
public final class SettledClock: Sendable {
  private let wall: @Sendable () -> Timestamp
  private let steady: @Sendable () -> Int64
  private let confirmation: Int64
  private let time: Mutex<SettledTime>

  /// - Parameters:
  ///   - wall: The system's clock.
  ///   - steady: Nanoseconds of a clock that only rises.
  ///   - confirmation: How long a jump must last, in nanoseconds: ten minutes.
  public init(
    wall: @escaping @Sendable () -> Timestamp = { Timestamp.systemNow() },
    steady: @escaping @Sendable () -> Int64 = Timestamp.steadyClock(), confirmation: Int64 = 600_000_000_000
  ) {
    self.wall = wall
    self.steady = steady
    self.confirmation = confirmation
    time = Mutex(SettledTime(wall: wall(), steady: steady()))
  }

  public func now() -> Timestamp {
    time.withLock { time in
      let (wall, steady) = (wall(), steady())
      if case .lasting(_, let since) = time.look(wall: wall, steady: steady), since >= confirmation {
        time.settle(wall: wall, steady: steady)
      }
      return time.time(wall: wall, steady: steady)
    }
  }
}
