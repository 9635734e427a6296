/// Handles one socket's readiness; called on the reactor's thread, never while one of its calls is under way.
public protocol SocketHandler: AnyObject {
  func ready(_ readiness: Readiness)
  /// Called when the time set by `Reactor.setTimer` is up.
  func timerFired()
  /// Called when the reactor ends: nothing more will be reported. Close the socket.
  func reactorStops()
}

/// A socket's registration with its reactor. The reactor recognises a key that is no longer registered, even when another socket
/// has its slot.
public struct SocketKey: Hashable, Sendable {
  let index: UInt32
  let generation: UInt32

  init(index: UInt32, generation: UInt32) {
    self.index = index
    self.generation = generation
  }

  init(_ bits: UInt64) {
    index = UInt32(truncatingIfNeeded: bits)
    generation = UInt32(truncatingIfNeeded: bits >> 32)
  }

  var bits: UInt64 { UInt64(generation) << 32 | UInt64(index) }
}
