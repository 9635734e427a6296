import Glibc

extension Timestamp {
  /// The system's clock: for arrivals, append times and waits. Never for Compute, whose results depend on events alone.
  public static func systemNow() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }
}
