#if Secure
  import Logging
  import NIOCore
  import NIOSSL
  import Synchronization

  /// The certificate that a service of ours shows to those it dials, and the roots it trusts: kept fresh by blocking queries.
  final class ConnectIdentity: Sendable {
    /// The parts that a handshake needs, all of one moment.
    struct Current: Sendable, Equatable {
      var tls: NIOSSLContext
      var trustDomain: String
      /// The leaf certificate's serial number, for messages.
      var serial: String

      static func == (a: Current, b: Current) -> Bool { a.tls === b.tls }
    }

    private let client: ConsulClient
    private let service: MeshService
    private let logger: Logger
    private let parts = Mutex<(leaf: ConnectLeaf?, roots: ConnectRoots?)>((nil, nil))
    private let latest = Watched<Current?>(nil)

    init(of service: MeshService, client: ConsulClient, logger: Logger) {
      self.service = service
      self.client = client
      self.logger = logger
    }

    /// Nil until the agent has given a leaf and roots.
    var current: Current? { latest.current.value }

    /// Returns when the identity is known, or the task is cancelled.
    func waitUntilKnown() async {
      while !Task.isCancelled {
        let (value, version) = latest.current
        if value != nil { return }
        await latest.waitForChange(from: version)
      }
    }

    /// Watches leaf and roots until the task is cancelled.
    func run() async {
      await withTaskGroup { group in
        group.addTask {
          await self.client.watch("/v1/agent/connect/ca/leaf/\(self.service.rawValue)") {
            response, request throws(ConsulError) in
            let leaf = try self.client.decode(ConnectLeaf.self, response, of: request)
            try self.take(request) { $0.leaf = leaf }
          }
        }
        group.addTask {
          await self.client.watch("/v1/agent/connect/ca/roots") { response, request throws(ConsulError) in
            let roots = try self.client.decode(ConnectRoots.self, response, of: request)
            try self.take(request) { $0.roots = roots }
          }
        }
      }
    }

    private func take(_ request: ConsulRequest, _ change: (inout (leaf: ConnectLeaf?, roots: ConnectRoots?)) -> Void)
      throws(ConsulError)
    {
      // Both watches end here: the pair built last has to be the newest of both, so it is built under the lock. It is short.
      let (current, failure) = parts.withLock { parts -> (Current?, String?) in
        change(&parts)
        guard let leaf = parts.leaf, let roots = parts.roots else { return (nil, nil) }
        do {
          let made = try ConnectIdentity.make(leaf, roots)
          latest.set(made)
          return (made, nil)
        } catch {
          return (nil, "\(error)")
        }
      }
      if let failure { throw ConsulError(.malformed, request: request.place, "certificates that TLS does not take: \(failure)") }
      if let current { logger.debug("certificate \(current.serial) in use") }
    }

    private static func make(_ leaf: ConnectLeaf, _ roots: ConnectRoots) throws -> Current {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.minimumTLSVersion = .tlsv12
      // All of CertPEM: after a rotation the second certificate is the new root's cross-signed intermediate, which peers that
      // have not heard of the rotation need.
      tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(leaf.CertPEM.utf8)).map { .certificate($0) }
      tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(leaf.PrivateKeyPEM.utf8), format: .pem))
      tls.trustRoots = .certificates(try roots.Roots.flatMap { try NIOSSLCertificate.fromPEMBytes(Array($0.RootCert.utf8)) })
      // Certificates of the mesh name a service by URI, and no host; `PeerIdentityHandler` checks that name.
      tls.certificateVerification = .noHostnameVerification
      // If h2 were offered, the built-in sidecar would pick it, and hand an HTTP/1.1 service bytes it can't read.
      tls.applicationProtocols = []
      return Current(tls: try NIOSSLContext(configuration: tls), trustDomain: roots.TrustDomain, serial: leaf.SerialNumber)
    }
  }
#endif
