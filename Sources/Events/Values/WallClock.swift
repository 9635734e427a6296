import Glibc

extension Timestamp {
  /// The system's clock: for arrivals, append times and waits. Never for Compute, whose results depend on events alone.
  public static func systemNow() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// Nanoseconds from now on, of a clock that nobody sets and that counts through sleep.
  public static func steadyClock() -> @Sendable () -> Int64 {
    let start = ContinuousClock.now
    return {
      let (seconds, attoseconds) = (ContinuousClock.now - start).components
      return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
  }
}
