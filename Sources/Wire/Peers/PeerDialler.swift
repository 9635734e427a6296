import HTTPClient
import NIOCore

/// The seam between the callers of a service and the means to find and reach its instances: the mesh, or plain loopback sockets
/// in tests.
///
/// A dialler is for one service.
public protocol PeerDialler: Sendable {
  /// The name of the service dialled, as `penstock-log`, for messages and metrics.
  var service: String { get }

  /// The instances known now. Never waits, never fails: with nothing known yet the list is empty, and when the registry cannot be
  /// asked the last list stands.
  func peers() -> PeerList

  /// Returns when the list has another version than the one given, or the task is cancelled.
  nonisolated(nonsending) func waitForChange(from version: UInt64) async

  /// Opens a connection to one instance.
  ///
  /// The future succeeds when plain HTTP/1.1 bytes may be written: with TLS, after the handshake and the check of the peer's
  /// identity. The dialler closes the channel later if the peer may no longer be called (an intention withdrawn, a certificate
  /// distrusted).
  /// - Parameters:
  ///   - peer: An instance from a list of this dialler; it may be gone by now.
  ///   - eventLoop: The channel's loop; the future is on it too.
  ///   - initialise: Called once on `eventLoop`, after the dialler's own handlers are in the pipeline and before the channel
  ///     reads: adds the caller's handlers behind them.
  /// - Returns: The channel; fails with `PeerError` and nothing else. Within the dialler's deadline, 10 seconds at most.
  func connect(
    to peer: Peer, on eventLoop: any EventLoop, initialise: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
  ) -> EventLoopFuture<any Channel>
}

/// The reason why a peer could not be asked, or gave no answer, with its place.
public struct PeerError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, CaseIterable {
    /// No instance of the service is known.
    case noInstance = "no_instance"
    /// The connection could not be made: refused, no route, no answer in time.
    case unreachable
    /// The peer, or its guard, does not let us in; or it is another than the one dialled.
    case refused
    /// The connection ended before the answer had come whole. The peer may have carried out the request.
    case disconnected
    /// No answer came before the deadline. The peer may have carried out the request.
    case timeout
    /// The answer does not follow the protocol: wrong version, too large, malformed.
    case malformed
    /// The bound of requests under way is reached; nothing was sent.
    case overloaded
    /// The caller is shutting down; nothing was sent.
    case closed
  }

  public var code: Code
  public var service: String
  /// Nil where no instance was chosen yet.
  public var peer: Peer?
  public var detail: String

  public init(_ code: Code, service: String, peer: Peer? = nil, _ detail: String) {
    self.code = code
    self.service = service
    self.peer = peer
    self.detail = detail
  }

  /// Why a request that was given to a connection has no answer.
  init(_ failure: ClientFailure, of request: WireRequest, service: String, peer: Peer) {
    let (code, detail): (Code, String) =
      switch failure {
      case .unreachable(let error): (.unreachable, "\(error)")
      case .timedOut: (.timeout, "no answer in time to \(request.method) \(request.target)")
      case .tooLarge(let bytesMax): (.malformed, "the answer is longer than \(bytesMax) bytes")
      case .malformed(let reason): (.malformed, reason)
      case .broken(let error as PeerError): (error.code, error.detail)
      case .broken(let error): (.disconnected, "\(error)")
      case .ended: (.disconnected, "the connection ended")
      case .cancelled: (.closed, "given up by the caller")
      }
    self.init(code, service: service, peer: peer, detail)
  }

  public var description: String {
    "\(service): \(code.rawValue): \(detail)" + (peer.map { " (\($0))" } ?? "")
  }

  /// Whether the peer cannot have acted on the request.
  public var isUnsent: Bool {
    switch code {
    case .noInstance, .unreachable, .overloaded, .closed: true
    case .refused, .disconnected, .timeout, .malformed: false
    }
  }
}
