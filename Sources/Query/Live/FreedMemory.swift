import Dispatch

#if canImport(Glibc)
  import CEpoll
#endif

/// Freed memory that the allocator keeps for later use.
enum FreedMemory {
  /// Memory that is said to be freed is still held for an instant.
  private static let delay: Double = 1

  /// Gives it back to the system, on a thread of its own: it takes milliseconds. glibc does so by itself only at the
  /// ends of its heaps, and freed small pieces lie in between.
  static func giveBack() {
    #if canImport(Glibc)
      DispatchQueue.global().asyncAfter(deadline: .now() + delay) { _ = malloc_trim(0) }
    #endif
  }
}
