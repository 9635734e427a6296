import Events
import Synchronization

/// The limits within which a log's append times tell ages. Part of `meta`.
package struct LogAges: Hashable, Sendable {
  /// Events appended before this time count as appended at it, since more than one clock told the time before it. Nil: all count
  /// as they are.
  package var floor: Timestamp?
  /// Whether the log's time is ahead of the system's: a clock that was ahead wrote the log.
  package var isAhead = false
}

/// A log's time, used for append times and ages: the system's clock as it was when the log was opened, carried on by a clock that
/// nobody sets. It never goes back, and begins no earlier than the log's last append.
///
/// The log clock logs a jump of the system's clock, and moves the log's time only once the jump has lasted for `confirmation`.
/// Even then nothing gets older by it: events appended before a jump forward count as appended at it (`LogAges.floor`). The time
/// between the last append and the opening counts once the clock has kept for as long.
package final class LogClock: Sendable {
  /// A pause, in nanoseconds, that needs no confirmation.
  private static let shortPause: Int64 = 60_000_000_000

  /// The result of `observe`.
  package struct Sighting {
    package var warnings: [String] = []
    /// The ages to store in `meta`, and then to give to `settle`; nil when nothing changes.
    package var ages: LogAges?
  }

  private struct State {
    var time: SettledTime
    /// The log's time less the system's, 0 or more. Nanoseconds.
    var lead: Int64 = 0
    /// Set if the log was opened long after its last append: the time of the opening, by the log's and by the steady clock. Nil
    /// once that is confirmed.
    var pause: (end: Timestamp, since: Int64)?
    var ages = LogAges()

    /// The log's lead once a jump is followed.
    func lead(after jump: Int64) -> Int64 { jump < 0 ? lead &- jump : max(0, lead &- jump) }
  }

  private let wall: @Sendable () -> Timestamp
  private let steady: @Sendable () -> Int64
  private let confirmation: Int64
  private let state: Mutex<State>

  /// - Parameters:
  ///   - wall: The system's clock, which may jump.
  ///   - steady: Nanoseconds of a clock that only rises, in sleep too.
  ///   - confirmation: How long a jump must last before it counts.
  package init(
    wall: @escaping @Sendable () -> Timestamp, steady: @escaping @Sendable () -> Int64, confirmation: Duration = .seconds(600)
  ) {
    self.wall = wall
    self.steady = steady
    self.confirmation = confirmation.nanosecondsHeld
    state = Mutex(State(time: SettledTime(wall: wall(), steady: steady())))
  }

  /// Begins after the log's last append time. To be called once, before the first append.
  /// - Parameters:
  ///   - last: The log's largest append time; nil when it holds no event.
  ///   - ages: The stored ages; nil where they cannot be read.
  /// - Returns: The ages to store if they differ.
  package func begin(after last: Timestamp?, _ ages: LogAges?) -> LogAges {
    let ages = ages ?? LogAges(floor: last)
    return state.withLock { state in
      let (now, steady) = (wall(), steady())
      state.time = SettledTime(wall: now, steady: steady)
      state.ages = ages
      guard let last else { return ages }
      let pause = now.nanoseconds &- last.nanoseconds
      state.lead = max(0, 0 &- pause)
      state.ages.isAhead = state.lead > SettledTime.slack
      // Done once: else a log that is ahead would never age past a restart.
      if state.ages.isAhead, !ages.isAhead { state.ages.floor = last }
      if pause > LogClock.shortPause { state.pause = (now, steady) }
      return state.ages
    }
  }

  func now() -> Timestamp {
    state.withLock { state in
      Timestamp(nanoseconds: state.time.time(wall: wall(), steady: steady()).nanoseconds &+ state.lead)
    }
  }

  /// The time that earlier append times count as; nil when they count as they are.
  var floor: Timestamp? {
    state.withLock { state in [state.ages.floor, state.pause?.end].compactMap { $0 }.max() }
  }

  /// Looks whether the system's clock has jumped, and whether an earlier jump now counts. To be called every second.
  package func observe() -> Sighting {
    state.withLock { state in
      let (now, steady) = (wall(), steady())
      var sighting = Sighting()
      switch state.time.look(wall: now, steady: steady) {
      case .steady: break
      case .back: sighting.warnings.append("the system's clock is back where it was before it jumped")
      case .jumped(let jump):
        let seconds = jump / 1_000_000_000
        sighting.warnings.append(
          "the system's clock has jumped by \(seconds > 0 ? "+" : "")\(seconds) s: append times and ages go on as before, and follow it "
            + "once it has kept for \(confirmation / 1_000_000_000) s; nothing gets older by a jump")
        // Nobody knows which of the two clocks was right: nothing counts as older than the opening.
        if let pause = state.pause.take() {
          state.ages.floor = max(state.ages.floor ?? pause.end, pause.end)
          sighting.ages = state.ages
        }
        return sighting
      case .lasting(let jump, let time):
        guard time >= confirmation else { return sighting }
        let lead = state.lead(after: jump)
        var ages = state.ages
        // The log's own time jumps too, unless it was ahead by as much.
        let end = Timestamp(nanoseconds: now.nanoseconds &+ lead)
        if jump > state.lead { ages.floor = max(ages.floor ?? end, end) }
        ages.isAhead = lead > SettledTime.slack
        sighting.ages = ages
        return sighting
      }
      if let pause = state.pause, steady - pause.since >= confirmation { state.pause = nil }
      return sighting
    }
  }

  /// Takes the ages that `observe` gave, once they are stored: a confirmed jump counts from here on.
  package func settle(_ ages: LogAges) {
    state.withLock { state in
      state.ages = ages
      let (now, steady) = (wall(), steady())
      guard case .lasting(let jump, let time) = state.time.look(wall: now, steady: steady), time >= confirmation else { return }
      state.lead = state.lead(after: jump)
      state.time.settle(wall: now, steady: steady)
    }
  }
}
