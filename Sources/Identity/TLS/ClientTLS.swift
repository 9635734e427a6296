#if Secure
  import NIOCore
  import NIOSSL

  /// TLS for connections to a server whose name or address is checked.
  public struct ClientTLS: Sendable {
    private let context: NIOSSLContext

    /// - Parameters:
    ///   - authorities: A PEM file of the trusted authorities' certificates; nil takes the system's.
    ///   - identity: PEM files with the client's own certificate and key, for a server that demands one.
    public init(authorities: String? = nil, identity: (certificates: String, key: String)? = nil) throws(TLSFileError) {
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.minimumTLSVersion = .tlsv12
      if let authorities {
        let roots = try reading(authorities, "holds no certificates in PEM") { try NIOSSLCertificate.fromPEMFile(authorities) }
        guard !roots.isEmpty else { throw TLSFileError(path: authorities, reason: "holds no certificates in PEM") }
        configuration.trustRoots = .certificates(roots)
      }
      if let identity {
        configuration.certificateChain = try reading(identity.certificates, "holds no certificates in PEM") {
          try NIOSSLCertificate.fromPEMFile(identity.certificates).map { .certificate($0) }
        }
        configuration.privateKey = .privateKey(
          try reading(identity.key, "holds no private key in PEM, or one with a passphrase") {
            try NIOSSLPrivateKey(file: identity.key, format: .pem)
          })
      }
      context = try reading(identity?.key ?? authorities ?? "the system's certificates", "cannot be used") {
        try NIOSSLContext(configuration: configuration)
      }
    }

    /// Puts TLS before all else in a new connection's pipeline. Called on the connection's event loop.
    /// - Parameters:
    ///   - channel: A channel with an empty pipeline.
    ///   - host: Name or IP address that the server's certificate has to be for.
    public func secure(_ channel: any Channel, host: String) throws {
      // RFC 6066 has no addresses in SNI; the handler then holds the certificate against the peer's address.
      let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
      let handler = try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
      try channel.pipeline.syncOperations.addHandler(handler, position: .first)
    }
  }
#endif
