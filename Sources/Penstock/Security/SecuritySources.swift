#if Secure
  import Events
  import Foundation
  import HTTPClient
  import Identity
  import Logging
  import Synchronization

  /// The files and the URL of tokens, keys and certificates, and the access control and TLS made of them.
  final class SecuritySources: Sendable {
    /// How often files are looked at for a change.
    private static let pollInterval = Duration.seconds(1)
    /// The least time between the end of one fetch and the next.
    private static let fetchIntervalMin = Duration.seconds(5)
    private static let fetchTimeout = Duration.seconds(10)

    /// Nil: every caller is permitted.
    let access: TokenAccess?
    /// Nil: plain text.
    let tls: ServerTLS?
    private let auth: AuthSettings
    private let tlsFiles: ServerTLS.Files?
    private let logger: Logger
    private let stamps = Mutex<[String: FileStamp?]>([:])
    private let fetching = Mutex(Fetching())

    private struct Fetching {
      var isUnderWay = false
      /// The end of the last fetch, or this process's begin.
      var last = ContinuousClock.now - SecuritySources.fetchIntervalMin
    }

    private init(access: TokenAccess?, tls: ServerTLS?, auth: AuthSettings, tlsFiles: ServerTLS.Files?, logger: Logger) {
      self.access = access
      self.tls = tls
      self.auth = auth
      self.tlsFiles = tlsFiles
      self.logger = logger
    }

    static func load(_ settings: Settings, logger: Logger) async throws -> SecuritySources {
      let auth = settings.auth
      let tlsFiles = settings.tls.files.map {
        ServerTLS.Files(certificates: $0.certificate, key: $0.key, clientAuthorities: $0.clientAuthorities)
      }
      do {
        let tls = try tlsFiles.map { files throws(TLSFileError) in try ServerTLS(files) }
        var access: TokenAccess?
        if auth.isConfigured {
          let rules = ClaimRules(
            audience: auth.audience, issuer: auth.issuer, leeway: auth.leeway, sourcesClaim: auth.sourcesClaim)
          access = TokenAccess(rules: rules, keys: KeySet(), tokens: StaticTokens())
        }
        let sources = SecuritySources(access: access, tls: tls, auth: auth, tlsFiles: tlsFiles, logger: logger)
        // Before the files are read, so that a change in between is noticed.
        sources.noteStamps()
        if access != nil {
          try sources.readTokens()
          try await sources.readKeys(isFirst: true)
        }
        return sources
      } catch let error as TLSFileError {
        throw CommandFailure("tls: \(error)", exitCode: .usage)
      } catch let error as KeyFileError {
        throw CommandFailure("auth: \(error)", exitCode: .usage)
      }
    }

    /// Watches the files until the task is cancelled. A file that can't be read leaves the content before it in use, and is
    /// logged.
    func watch() async {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.watchFiles() }
        if let access, keysURL != nil {
          group.addTask { await self.fetchWhenUnknown(access) }
          group.addTask { await self.fetchAgain(access) }
        }
      }
    }

    private func watchFiles() async {
      while true {
        do { try await Task.sleep(for: SecuritySources.pollInterval) } catch { return }
        let changed = noteStamps()
        if let tls, let tlsFiles, !changed.isDisjoint(with: tlsFiles.paths) {
          attempt("tls") { () throws(TLSFileError) in try tls.reload() }
        }
        guard access != nil else { continue }
        if let tokens = auth.tokens, changed.contains(tokens) {
          attempt("auth.tokens") { () throws(KeyFileError) in try readTokens() }
        }
        if let keys = auth.jwks, changed.contains(keys) { await readKeysAgain() }
      }
    }

    /// Fetches when a token's key is unknown: the key set may have changed, and the device waits.
    private func fetchWhenUnknown(_ access: TokenAccess) async {
      for await _ in access.unknownKeys {
        while let next = claimFetch(after: SecuritySources.fetchIntervalMin) {
          do { try await Task.sleep(until: next) } catch { return }
        }
        await fetchKeys()
      }
    }

    /// Fetches from time to time; more often while there is no key at all.
    private func fetchAgain(_ access: TokenAccess) async {
      while true {
        do { try await Task.sleep(for: SecuritySources.pollInterval) } catch { return }
        guard claimFetch(after: access.hasKeys ? auth.jwksRefresh : SecuritySources.fetchIntervalMin) == nil else { continue }
        await fetchKeys()
      }
    }

    /// - Returns: Nil when the caller must fetch now; else the time to ask again.
    private func claimFetch(after interval: Duration) -> ContinuousClock.Instant? {
      fetching.withLock { fetching in
        let now = ContinuousClock.now
        if fetching.isUnderWay { return now + SecuritySources.pollInterval }
        guard now - fetching.last >= interval else { return fetching.last + interval }
        fetching.isUnderWay = true
        return nil
      }
    }

    private func fetchKeys() async {
      await readKeysAgain()
      fetching.withLock { $0 = Fetching(isUnderWay: false, last: .now) }
    }

    private func readKeysAgain() async {
      do { try await readKeys(isFirst: false) } catch { logger.error("auth.jwks is not read again: \(error)") }
    }

    private func attempt<Failure: Error>(_ what: String, _ read: () throws(Failure) -> Void) {
      do {
        try read()
        logger.notice("\(what) has changed and was read again")
      } catch {
        logger.error("\(what) has changed and is not taken: \(error)")
      }
    }

    /// - Returns: The paths of the files that have changed.
    @discardableResult private func noteStamps() -> Set<String> {
      let paths = (tlsFiles?.paths ?? []) + [auth.tokens, keysURL == nil ? auth.jwks : nil].compactMap { $0 }
      let fresh = paths.map { ($0, FileStamp(path: $0)) }
      return stamps.withLock { stamps in
        var changed: Set<String> = []
        for (path, stamp) in fresh where stamps[path] != .some(stamp) {
          stamps[path] = .some(stamp)
          changed.insert(path)
        }
        return changed
      }
    }

    private func readTokens() throws(KeyFileError) {
      guard let path = auth.tokens, let access else { return }
      do throws(KeyFileError) {
        access.replace(tokens: try StaticTokens(text: try text(path, bytesMax: StaticTokens.bytesMax)))
      } catch {
        throw error.at(path)
      }
    }

    private var keysURL: ServiceURL? { auth.jwks.flatMap { ServiceURL($0, schemes: ["http", "https"]) } }

    /// - Parameter isFirst: Whether this is the start: an issuer that does not answer then does not stop the start. Its keys are
    ///   fetched later.
    private func readKeys(isFirst: Bool) async throws(KeyFileError) {
      guard let access else { return }
      var keys = KeySet()
      if let url = keysURL {
        do throws(KeyFileError) {
          keys = try KeySet(json: try await fetch(url), isPublic: true)
        } catch  where isFirst {
          logger.error("tokens are refused until the keys are there: \(error)")
        }
      } else if let path = auth.jwks {
        do throws(KeyFileError) {
          keys = try KeySet(json: Array(try text(path, bytesMax: KeySet.bytesMax).utf8), isPublic: false)
        } catch {
          throw error.at(path)
        }
      }
      for notice in keys.notices { logger.warning("auth.jwks: \(notice)") }
      if let secret = auth.secret { try keys.add(secret: Array(secret.utf8)) }
      access.replace(keys: keys)
    }

    private func fetch(_ url: ServiceURL) async throws(KeyFileError) -> [UInt8] {
      var exchange = HTTPExchange(url)
      exchange.request.headers.add(name: "Accept", value: "application/json")
      exchange.request.answerBytesMax = KeySet.bytesMax
      exchange.timeout = SecuritySources.fetchTimeout
      let tls: ClientTLS
      do { tls = try ClientTLS() } catch { throw KeyFileError("\(url): \(error)") }
      do throws(ClientFailure) {
        let answer = try await exchange.run(secure: { try tls.secure($0, host: $1) })
        guard answer.status == 200 else { throw .malformed("it answered \(answer.status)") }
        return Array(answer.body.readableBytesView)
      } catch {
        throw KeyFileError("\(url): \(error)")
      }
    }

    private func text(_ path: String, bytesMax: Int) throws(KeyFileError) -> String {
      switch readText(path, bytesMax: bytesMax) {
      case .success(let text): return text
      case .failure(let failure): throw KeyFileError("\(failure)")
      }
    }
  }

  extension KeyFileError {
    fileprivate func at(_ path: String) -> KeyFileError { KeyFileError("\(path): \(description)") }
  }
#endif
