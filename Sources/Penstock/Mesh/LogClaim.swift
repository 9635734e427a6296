#if Secure
  import Events
  import Logging
  import Mesh

  /// The mesh's one log: the first log sets its identity under a key in Consul. A second log under the same name would take
  /// events that nobody counts.
  struct LogClaim: Sendable {
    static let key = "penstock/log"
    /// Bounds the tries that lose to faster processes.
    private static let attemptsMax = 16

    private let key: ConsulKey
    private let logger: Logger

    init(_ client: ConsulClient, logger: Logger) {
      key = ConsulKey(LogClaim.key, client: client)
      self.logger = logger
    }

    /// Makes a log the mesh's log, or finds that it is. If the agent is away, this waits for it until the task is cancelled.
    /// - Throws: `CommandFailure` when the mesh has another log, or a later state of this one.
    func take(_ log: LogIdentity) async throws {
      for _ in 0..<LogClaim.attemptsMax {
        let found = try await untilAnswered { () async throws(ConsulError) in try await key.load() }
        if let text = found?.text, !text.isEmpty {
          if text == log.description { return }
          guard let known = LogIdentity(parsing: text), known.isSameLog(as: log), known.epoch < log.epoch else {
            throw LogClaim.refusal(log, known: text)
          }
          logger.warning("the mesh's log was \(known); it has been repaired, and is \(log) from now on")
        }
        let index = found?.index ?? 0
        if try await untilAnswered({ () async throws(ConsulError) in try await key.replace(log.description, index: index) })
          != nil
        {
          return
        }
      }
      throw CommandFailure(
        "log: the key \(LogClaim.key) in Consul keeps changing: another log is being started under the same name")
    }

    static func refusal(_ log: LogIdentity, known text: String) -> CommandFailure {
      let isOlder = LogIdentity(parsing: text)?.isSameLog(as: log) ?? false
      return CommandFailure(
        """
        log: the mesh's log is \(text.prefix(64)), and this data folder holds \
        \(isOlder ? "an earlier state of it, \(log)" : "another one, \(log)"): events that it took would be counted by nobody. Start the \
        log with its own data folder; if this one is to take its place for good, `consul kv delete \(LogClaim.key)` first, and then restart \
        the other services, compute with compute.accept_log
        """)
    }

    private func untilAnswered<R>(_ body: () async throws(ConsulError) -> R) async throws -> R {
      var isTold = false
      while true {
        do throws(ConsulError) {
          return try await body()
        } catch {
          switch error.code {
          case .forbidden, .malformed:
            throw CommandFailure(
              "log: which log the mesh has cannot be asked: \(error); its token must read and write \(LogClaim.key)")
          case .unreachable, .timeout, .failed, .missing, .cancelled: break
          }
          if !isTold { logger.warning("which log the mesh has cannot be asked: \(error); it is tried again") }
          isTold = true
          try await Task.sleep(for: .seconds(1))
        }
      }
    }
  }
#endif
