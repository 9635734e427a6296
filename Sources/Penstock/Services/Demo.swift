enum Demo {
  /// `up` in a temporary folder, the bundled weather data through it, and its results.
  /// - Parameter once: Whether to end after the results instead of serving on.
  static func run(_ settings: Settings, once: Bool) async throws {
    throw CommandFailure("`penstock demo` is not wired yet")
  }
}
