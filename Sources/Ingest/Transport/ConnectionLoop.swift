import NIOCore

#if os(Linux)
  import Sockets
#endif

/// The one thread of a group of connections and their shared state: an event loop of NIO's, or a reactor of our own.
protocol ConnectionLoop: AnyObject, Sendable {
  /// Whether the caller is on it.
  var isCurrent: Bool { get }
  /// Runs `work` on it; work given on the thread itself runs once all that is ready now has been read.
  func execute(_ work: @escaping @Sendable () -> Void)
  /// When its present turn began, in nanoseconds of a clock that only rises, where it knows: to be asked on it.
  var turnTime: UInt64? { get }
}

final class EventLoopThread: ConnectionLoop {
  private let eventLoop: any EventLoop

  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  var isCurrent: Bool { eventLoop.inEventLoop }
  func execute(_ work: @escaping @Sendable () -> Void) { eventLoop.execute(work) }
  var turnTime: UInt64? { nil }
}

#if os(Linux)
  extension Reactor: ConnectionLoop {
    var turnTime: UInt64? { turnBeganAt }
  }
#endif

/// A value that belongs to a loop, on its way through other threads.
struct LoopBound<Value>: @unchecked Sendable {
  // Invariant of the unchecked conformance: the value is used on the loop alone, which `value` checks.
  private let bound: Value
  private let loop: any ConnectionLoop

  init(_ value: Value, _ loop: any ConnectionLoop) {
    bound = value
    self.loop = loop
  }

  var value: Value {
    precondition(loop.isCurrent, "touched off its loop")
    return bound
  }
}
