import ArgumentParser
import HTTPClient

#if Secure
  import Identity
#endif

/// `--token-file` and `--ca-file`, on the commands that connect to a service.
struct SecurityOptions: ParsableArguments {
  @Option(
    name: .customLong("token-file"),
    help: ArgumentHelp("A file that holds the token to show, where the service asks for one.", valueName: "file"))
  var tokenFile: String?

  @Option(
    name: .customLong("ca-file"),
    help: ArgumentHelp("PEM file of who signs the service's certificate (default: those the system trusts).", valueName: "file"))
  var authoritiesFile: String?

  /// Reads the files.
  /// - Parameter url: The address the token goes to; in plain text it goes to this machine only.
  func load(for url: ServiceURL) throws -> ClientSecurity {
    var security = ClientSecurity()
    if let tokenFile { security.token = try token(tokenFile, url) }
    guard url.isSecure else { return security }
    #if Secure
      do {
        let tls = try ClientTLS(authorities: authoritiesFile)
        security.secure = { channel, host in try tls.secure(channel, host: host) }
      } catch {
        throw CommandFailure("--ca-file: \(error)", exitCode: .usage)
      }
      return security
    #else
      throw CommandFailure(EdgeSecurity.withoutTLS("\(url.scheme):// speaks TLS"), exitCode: .usage)
    #endif
  }

  private func token(_ path: String, _ url: ServiceURL) throws -> String {
    guard url.isSecure || ListenAddress(host: url.host, port: url.port).isLoopback else {
      throw CommandFailure("--token-file: not sent in plain text beyond this machine: use https:// or wss://", exitCode: .usage)
    }
    switch readText(path, bytesMax: EnvironmentLayer.secretBytesMax) {
    case .failure(let failure): throw CommandFailure("--token-file: \(path): \(failure)", exitCode: .usage)
    case .success(let text):
      let token = text.split { $0.isWhitespace }
      guard token.count == 1 else { throw CommandFailure("--token-file: \(path): expected one token", exitCode: .usage) }
      return String(token[0])
    }
  }
}

/// A command's token, and its means to check the server.
struct ClientSecurity: Sendable {
  var token: String?
  /// Nil: plain text.
  var secure: HTTPExchange.Securing?

  var headers: [(name: String, value: String)] { token.map { [("Authorization", "Bearer \($0)")] } ?? [] }
}
