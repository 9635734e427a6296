import Dispatch

#if canImport(Glibc)
  import CEpoll
#endif

/// Memory that was let go, and that the allocator keeps for what may come.
enum FreedMemory {
  /// Whoever says that something is let go still holds it, for an instant.
  private static let delay: Double = 1

  /// Gives it back to the system, on a thread of its own: it takes milliseconds. glibc does so by itself only at the ends of its heaps, and what
  /// many small pieces leave lies in between.
  static func giveBack() {
    #if canImport(Glibc)
      DispatchQueue.global().asyncAfter(deadline: .now() + delay) { _ = malloc_trim(0) }
    #endif
  }
}
