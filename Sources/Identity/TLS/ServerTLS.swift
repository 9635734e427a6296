#if Secure
  import NIOCore
  import NIOSSL
  import Synchronization

  /// The reason why certificates or keys cannot be used. It never holds their content.
  public struct TLSFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public var path: String
    public var reason: String

    public var description: String { "\(path): \(reason)" }
  }

  /// TLS for listeners. `reload` reads changed files again; open connections go on with the certificates they began with.
  public final class ServerTLS: Sendable {
    public struct Files: Sendable, Hashable {
      /// A PEM file: the server's certificate, then those between it and its root.
      public var certificates: String
      /// A PEM file, without a passphrase.
      public var key: String
      /// A PEM file of the authorities that sign clients' certificates, which are then demanded. Nil asks for none.
      public var clientAuthorities: String?

      public init(certificates: String, key: String, clientAuthorities: String? = nil) {
        self.certificates = certificates
        self.key = key
        self.clientAuthorities = clientAuthorities
      }

      public var paths: [String] { [certificates, key] + (clientAuthorities.map { [$0] } ?? []) }
    }

    private let files: Files
    private let context: Mutex<NIOSSLContext>

    public init(_ files: Files) throws(TLSFileError) {
      self.files = files
      context = Mutex(try ServerTLS.makeContext(files))
    }

    /// Takes the files as they are now, for later connections.
    /// - Throws: The fault of the files; the certificate and key before them then stay in use.
    public func reload() throws(TLSFileError) {
      let fresh = try ServerTLS.makeContext(files)
      context.withLock { $0 = fresh }
    }

    /// Puts TLS before all else in a new connection's pipeline. Called on the connection's event loop.
    public func secure(_ channel: any Channel) throws {
      let context = context.withLock { $0 }
      try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context), position: .first)
    }

    private static func makeContext(_ files: Files) throws(TLSFileError) -> NIOSSLContext {
      let chain = try reading(files.certificates, "holds no certificates in PEM") {
        try NIOSSLCertificate.fromPEMFile(files.certificates)
      }
      guard !chain.isEmpty else { throw TLSFileError(path: files.certificates, reason: "holds no certificates in PEM") }
      let key = try reading(files.key, "holds no private key in PEM, or one with a passphrase") {
        try NIOSSLPrivateKey(file: files.key, format: .pem)
      }
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["http/1.1"]
      if let authorities = files.clientAuthorities {
        let roots = try reading(authorities, "holds no certificates in PEM") { try NIOSSLCertificate.fromPEMFile(authorities) }
        configuration.trustRoots = .certificates(roots)
        // A client's certificate names no host.
        configuration.certificateVerification = .noHostnameVerification
      }
      return try reading(files.key, "does not fit the certificate in \(files.certificates)") {
        try NIOSSLContext(configuration: configuration)
      }
    }
  }

  /// - Parameter reason: The reason to report for a library error; the library's own words can be of no use to an operator.
  func reading<Value>(_ path: String, _ reason: String, _ read: () throws -> Value) throws(TLSFileError) -> Value {
    do {
      return try read()
    } catch let error as IOError {
      throw TLSFileError(path: path, reason: "cannot be read: \(error)")
    } catch {
      throw TLSFileError(path: path, reason: reason)
    }
  }
#endif
