import Events
import Logging
import NIOCore
import Serving

/// The access control and TLS of the listeners of ingest and query, as the settings have it.
struct EdgeSecurity: Sendable {
  /// Puts TLS first in a new connection's pipeline. Called on the connection's event loop.
  typealias Securing = @Sendable (any Channel) throws -> Void

  /// Decides who may ask.
  var gate = AccessGate.open
  /// Nil: plain text.
  var secure: Securing?
  /// Reads files again when they change, until cancelled.
  private var watch: Task<Void, Never>?

  /// Reads tokens, keys and certificates, and goes on doing so when they change.
  /// - Throws: `CommandFailure` that names the file and its fault, never its content.
  static func start(_ settings: Settings, logger: Logger) async throws -> EdgeSecurity {
    var security = EdgeSecurity()
    guard settings.auth.isConfigured || settings.tls.files != nil else { return security }
    #if Secure
      let sources = try await SecuritySources.load(settings, logger: logger)
      security.gate = AccessGate(sources.access)
      if let tls = sources.tls { security.secure = { channel in try tls.secure(channel) } }
      security.watch = Task { await sources.watch() }
      return security
    #else
      throw CommandFailure(withoutTLS("auth and tls are configured"), exitCode: .usage)
    #endif
  }

  func stop() { watch?.cancel() }

  /// The error text where a build without the trait `Secure` is asked for something that needs it.
  static func withoutTLS(_ what: String) -> String {
    "\(what), but this build has neither tokens nor TLS: make one that has with 'ops/quickstart --secure' or 'swift build -c release'"
  }
}
