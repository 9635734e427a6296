import Events
import NIOCore
import Synchronization

/// Sends requests to the instances of one service: over pooled connections, one request at a time on each, with deadlines,
/// bounded in number.
///
/// It retries nothing: the caller knows which requests may be sent twice.
public final class WireClient: Sendable {
  public let dialler: any PeerDialler
  private let pools: [ObjectIdentifier: NIOLoopBoundBox<PeerPool>]
  private let group: any EventLoopGroup
  private let nextID = Atomic<UInt64>(0)

  public init(dialler: any PeerDialler, group: any EventLoopGroup) {
    self.dialler = dialler
    self.group = group
    var pools: [ObjectIdentifier: NIOLoopBoundBox<PeerPool>] = [:]
    for eventLoop in group.makeIterator() {
      pools[ObjectIdentifier(eventLoop)] = NIOLoopBoundBox.makeBoxSendingValue(
        PeerPool(dialler: dialler, eventLoop: eventLoop), eventLoop: eventLoop)
    }
    self.pools = pools
  }

  func anyLoop() -> any EventLoop { group.any() }
  func nextLoop() -> any EventLoop { group.next() }

  /// Sends a request on a connection of `eventLoop`, which is one of the client's and the current one.
  /// - Returns: The result on that loop, never failed.
  func execute(_ request: WireRequest, to peer: Peer, on eventLoop: any EventLoop, deadline: NIODeadline)
    -> EventLoopFuture<Result<WireResponse, PeerError>>
  {
    guard let pool = pools[ObjectIdentifier(eventLoop)] else { preconditionFailure("a loop that is not of the client's group") }
    return pool.value.execute(request, to: peer, id: nextID.add(1, ordering: .relaxed).newValue, deadline: deadline)
  }

  /// Sends a request and waits for the answer, whatever its status. Cancelling the task closes the connection it is on.
  public nonisolated(nonsending) func send(_ request: WireRequest, to peer: Peer, within timeout: Duration)
    async throws(PeerError)
    -> WireResponse
  {
    let eventLoop = group.next()
    guard let pool = pools[ObjectIdentifier(eventLoop)] else { preconditionFailure("a loop of the group has a pool") }
    let id = nextID.add(1, ordering: .relaxed).newValue
    let deadline = NIODeadline.now() + .nanoseconds(timeout.nanosecondsHeld)
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Result<WireResponse, PeerError>, Never>) in
        eventLoop.execute {
          pool.value.execute(request, to: peer, id: id, deadline: deadline).whenSuccess { continuation.resume(returning: $0) }
        }
      }
    } onCancel: {
      // It runs after `execute` above; if `execute` comes later, the request runs to its end or its deadline.
      eventLoop.execute { pool.value.cancel(id) }
    }
    return try result.get()
  }

  /// Closes every connection; requests under way fail with `.closed`.
  public func close() async {
    for eventLoop in group.makeIterator() {
      guard let pool = pools[ObjectIdentifier(eventLoop)] else { continue }
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        eventLoop.execute {
          pool.value.close()
          continuation.resume()
        }
      }
    }
  }
}
