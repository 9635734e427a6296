import HTTPClient
import NIOCore

/// The connections of one event loop to the instances of one service. Belongs to that loop.
///
/// At most `connectionsMax` connections to an instance and `waitingMax` requests that wait for one; the longest idle one is
/// closed first.
final class PeerPool {
  static let connectionsMax = 64
  static let waitingMax = 4096
  /// Connections idle for this long are closed: an unused connection need not be kept authorised.
  static let idleTimeout = TimeAmount.seconds(60)

  private struct Waiting {
    var id: UInt64
    var request: WireRequest
    var deadline: NIODeadline
    var promise: EventLoopPromise<Result<WireResponse, PeerError>>
  }

  private struct Lines {
    var peer: Peer
    var idle: [ClientConnection] = []
    var open = 0
    /// The number of those in `open` that are being opened.
    var opening = 0
    var waiting: [Waiting] = []
  }

  let eventLoop: any EventLoop
  private let dialler: any PeerDialler
  private var lines: [String: Lines] = [:]
  private var busy: [UInt64: ClientConnection] = [:]
  private var isClosed = false

  init(dialler: any PeerDialler, eventLoop: any EventLoop) {
    self.dialler = dialler
    self.eventLoop = eventLoop
  }

  /// Sends a request to a peer over an idle connection, or a new one.
  /// - Parameter id: The caller's id for the request, for `cancel`.
  /// - Returns: The answer or the failure; on this loop, never failed.
  func execute(_ request: WireRequest, to peer: Peer, id: UInt64, deadline: NIODeadline)
    -> EventLoopFuture<Result<WireResponse, PeerError>>
  {
    eventLoop.preconditionInEventLoop()
    let promise = eventLoop.makePromise(of: Result<WireResponse, PeerError>.self)
    guard !isClosed else {
      promise.succeed(.failure(PeerError(.closed, service: dialler.service, peer: peer, "shutting down")))
      return promise.futureResult
    }
    let waiting = Waiting(id: id, request: request, deadline: deadline, promise: promise)
    var line = lines[peer.id, default: Lines(peer: peer)]
    while let connection = line.idle.popLast() {
      guard connection.isUsable else { continue }
      lines[peer.id] = line
      start(waiting, on: connection, to: peer)
      return promise.futureResult
    }
    guard line.waiting.count < PeerPool.waitingMax else {
      promise.succeed(
        .failure(PeerError(.overloaded, service: dialler.service, peer: peer, "\(line.waiting.count) requests wait already")))
      return promise.futureResult
    }
    line.waiting.append(waiting)
    lines[peer.id] = line
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    let expiry = eventLoop.scheduleTask(deadline: deadline) { bound.value.expire(id, of: peer) }
    promise.futureResult.whenComplete { _ in expiry.cancel() }
    if line.open < PeerPool.connectionsMax, line.opening < line.waiting.count { open(peer) }
    return promise.futureResult
  }

  /// Fails a request that found no free connection in time.
  private func expire(_ id: UInt64, of peer: Peer) {
    guard let index = lines[peer.id]?.waiting.firstIndex(where: { $0.id == id }),
      let waiting = lines[peer.id]?.waiting.remove(at: index)
    else { return }
    waiting.promise.succeed(
      .failure(PeerError(.overloaded, service: dialler.service, peer: peer, "no connection was free in time")))
  }

  /// Abandons the request with this id, if it is under way.
  func cancel(_ id: UInt64) {
    if let connection = busy.removeValue(forKey: id) { return connection.cancel() }
    for key in lines.keys {
      guard let index = lines[key]?.waiting.firstIndex(where: { $0.id == id }),
        let waiting = lines[key]?.waiting.remove(at: index)
      else { continue }
      waiting.promise.succeed(.failure(PeerError(.closed, service: dialler.service, "given up by the caller")))
    }
  }

  /// Closes every connection; requests under way fail.
  func close() {
    isClosed = true
    for connection in busy.values { connection.cancel() }
    let closing = lines
    lines = [:]
    for line in closing.values {
      for connection in line.idle { connection.close() }
      for waiting in line.waiting {
        waiting.promise.succeed(.failure(PeerError(.closed, service: dialler.service, "shutting down")))
      }
    }
  }

  private func open(_ peer: Peer) {
    lines[peer.id]?.open += 1
    lines[peer.id]?.opening += 1
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    dialler.connect(to: peer, on: eventLoop) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(IdleStateHandler(allTimeout: PeerPool.idleTimeout))
        try ClientConnection(objection: WireVersion.objection(to:)).add(to: channel)
      }
    }.whenComplete { result in bound.value.opened(peer, result) }
  }

  private func opened(_ peer: Peer, _ result: Result<any Channel, any Error>) {
    lines[peer.id]?.opening -= 1
    switch result {
    case .success(let channel):
      guard !isClosed, let connection = try? channel.pipeline.syncOperations.handler(type: ClientConnection.self) else {
        channel.close(promise: nil)
        closed(peer.id)
        return
      }
      connection.onIdle = { [weak self, weak connection] isUsable in
        guard let self, let connection else { return }
        isUsable ? returned(connection, of: peer) : closed(peer.id)
      }
      guard channel.isActive, connection.isUsable else {
        return failWaiting(peer, PeerError(.unreachable, service: dialler.service, peer: peer, "the connection ended at once"))
      }
      returned(connection, of: peer)
    case .failure(let error):
      failWaiting(
        peer, error as? PeerError ?? PeerError(.unreachable, service: dialler.service, peer: peer, "\(error)"))
    }
  }

  /// No connection could be made: all requests that wait for one fail, and their callers retry as they see fit.
  private func failWaiting(_ peer: Peer, _ failure: PeerError) {
    let waiting = lines[peer.id]?.waiting ?? []
    lines[peer.id]?.waiting = []
    closed(peer.id)
    for one in waiting { one.promise.succeed(.failure(failure)) }
  }

  private func closed(_ peer: String) {
    guard var line = lines[peer] else { return }
    line.open -= 1
    line.idle.removeAll { !$0.isUsable }
    lines[peer] = line.open == 0 && line.waiting.isEmpty ? nil : line
    if line.opening < line.waiting.count, line.open < PeerPool.connectionsMax, !isClosed { open(line.peer) }
  }

  /// A connection can take the next request.
  private func returned(_ connection: ClientConnection, of peer: Peer) {
    guard !isClosed, var line = lines[peer.id] else { return connection.close() }
    if !line.waiting.isEmpty {
      let next = line.waiting.removeFirst()
      lines[peer.id] = line
      return start(next, on: connection, to: peer)
    }
    line.idle.append(connection)
    lines[peer.id] = line
  }

  private func start(_ waiting: Waiting, on connection: ClientConnection, to peer: Peer) {
    busy[waiting.id] = connection
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    waiting.promise.futureResult.whenComplete { _ in bound.value.busy[waiting.id] = nil }
    let (request, service) = (waiting.request, dialler.service)
    connection.send(request.http(to: service), deadline: waiting.deadline) { outcome in
      waiting.promise.succeed(
        outcome.map { WireResponse($0) }.mapError { PeerError($0, of: request, service: service, peer: peer) })
    }
  }
}
