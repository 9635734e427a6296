#if Secure
  import NIOCore
  import NIOSSL
  import NIOTLS
  import X509

  /// Holds a connection back until the handshake is done and the peer has shown that it is the service dialled; then lets the
  /// caller add its handlers. Afterwards it tells a refusal by the sidecar from a peer that went away.
  final class PeerIdentityHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum State {
      case handshaking
      /// In TLS 1.3 our certificate goes last, so the sidecar's refusal comes after the handshake has seemed to succeed.
      case admitted
      case heard
      case failed
    }

    private let expected: SpiffeID
    private let address: String
    private let initialise: @Sendable (any Channel) -> EventLoopFuture<Void>
    private let promise: EventLoopPromise<Void>
    private var state = State.handshaking

    /// - Parameter promise: Succeeds once the caller's handlers are in; fails with `MeshError`.
    init(
      expecting expected: SpiffeID, address: String, promise: EventLoopPromise<Void>,
      initialise: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) {
      self.expected = expected
      self.address = address
      self.promise = promise
      self.initialise = initialise
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent { checkIdentity(context) }
      context.fireUserInboundEventTriggered(event)
    }

    private func checkIdentity(_ context: ChannelHandlerContext) {
      do {
        guard let shown = try context.pipeline.syncOperations.nioSSL_peerCertificate() else {
          return fail(context, .refused, "the peer showed no certificate")
        }
        let names = try PeerIdentityHandler.uris(of: shown)
        guard names.count == 1, expected.matches(names[0]) else {
          return fail(
            context, .refused, "the peer is \(names.isEmpty ? "nobody by URI" : names.joined(separator: ", ")), not \(expected)")
        }
      } catch {
        return fail(context, .refused, "the peer's certificate cannot be read: \(error)")
      }
      state = .admitted
      initialise(context.channel).assumeIsolated().whenComplete { result in
        switch result {
        case .success: self.promise.succeed()
        case .failure(let error): self.fail(context, .closed, "the caller's handlers could not be added: \(error)")
        }
      }
    }

    /// The URIs among the subject's alternative names.
    static func uris(of certificate: NIOSSLCertificate) throws -> [String] {
      let parsed = try Certificate(derEncoded: try certificate.toDERBytes())
      guard let names = try parsed.extensions.subjectAlternativeNames else { return [] }
      return names.compactMap { name in
        if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
      }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if state == .admitted { state = .heard }
      context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      switch state {
      case .handshaking: fail(context, PeerIdentityHandler.code(of: error), "TLS: \(error)")
      case .admitted where error is NIOSSLError || error is BoringSSLError:
        context.fireErrorCaught(turnedAway("\(error)"))
      case .admitted, .heard: context.fireErrorCaught(error)
      case .failed: break
      }
    }

    func channelInactive(context: ChannelHandlerContext) {
      switch state {
      case .handshaking: fail(context, .unreachable, "the peer closed the connection during the TLS handshake")
      case .admitted: context.fireErrorCaught(turnedAway("it closed the connection without a byte"))
      case .heard, .failed: break
      }
      context.fireChannelInactive()
    }

    /// Ends the attempt, unless it has succeeded.
    func expire(_ context: ChannelHandlerContext, after deadline: Duration) {
      if state == .handshaking { fail(context, .timeout, "no TLS handshake within \(deadline)") }
    }

    private func turnedAway(_ detail: String) -> MeshError {
      MeshError(
        .refused, service: expected.service, address: address,
        "the sidecar turned us away, as for want of an intention, or ended: \(detail)")
    }

    private func fail(_ context: ChannelHandlerContext, _ code: MeshError.Code, _ detail: String) {
      state = .failed
      promise.fail(MeshError(code, service: expected.service, address: address, detail))
      context.close(promise: nil)
    }

    private static func code(of error: any Error) -> MeshError.Code {
      switch error {
      case NIOSSLError.handshakeFailed, NIOSSLError.noCertificateToValidate, NIOSSLError.unableToValidateCertificate: .refused
      case is BoringSSLError: .refused
      default: .unreachable
      }
    }
  }
#endif
