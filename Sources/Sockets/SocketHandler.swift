/// Who is told of one socket's readiness; called on the reactor's thread, never while a call of its own is under way.
public protocol SocketHandler: AnyObject {
  func ready(_ readiness: Readiness)
  /// The time set by `Reactor.setTimer` is up.
  func timerFired()
  /// The reactor ends: nothing more will be reported. The socket is to be closed.
  func reactorStops()
}

/// A socket's registration with its reactor. One that is no longer registered is known for that, whatever took its place.
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
