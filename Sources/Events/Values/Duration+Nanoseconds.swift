extension Duration {
  /// Whole nanoseconds, cut to 64 bits.
  package var nanosecondsHeld: Int64 {
    let (seconds, attoseconds) = components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (total, overflowAgain) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow || overflowAgain ? (seconds < 0 ? .min : .max) : total
  }
}
