extension Duration {
  /// Whole nanoseconds; the duration must be below 292 years.
  var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
