import Events
import Logging

/// The connection to a log's process. It asks again while the process is away, and accepts no answer of another log.
/// Only for requests that may be made twice.
final class LogLink: Sendable {
  static let timeout = Duration.seconds(10)
  /// The longest that the log holds one wait.
  private static let waitTimeout = Duration.seconds(20)

  let presence = LogPresence()
  private let client: WireClient
  /// Nil while the log's identity is not known.
  private let contact: LogContact?
  let logger: Logger

  init(_ client: WireClient, contact: LogContact?, _ logger: Logger) {
    self.client = client
    self.contact = contact
    self.logger = logger
  }

  /// Asks until the log answers with a success or with an error that will not pass.
  /// - Parameters:
  ///   - request: The request, which may reach the log more than once.
  ///   - partition: The partition that the request is about, for errors.
  ///   - patience: How long to go on, from the question on, or from when the log went away if that is earlier: whoever asks later
  ///     need not wait as long again to hear the same. Until the task is cancelled when nil; zero asks once.
  ///   - timeout: The timeout of one request.
  nonisolated(nonsending) func ask(
    _ request: WireRequest, of partition: PartitionID? = nil, patience: Duration?, timeout: Duration = LogLink.timeout
  ) async throws(LogError) -> WireResponse {
    let start = ContinuousClock.now
    var backoff = Backoff()
    while true {
      do throws(LogError) {
        let response = try await askOnce(request, of: partition, timeout: timeout)
        presence.answered()
        return response
      } catch {
        // Another log may answer for a moment in place of one that comes back.
        guard error.code == .unavailable || error.code == .anotherLog else {
          presence.answered()
          throw error
        }
        let since = min(start, presence.failed())
        if Task.isCancelled { throw error }
        if let patience, ContinuousClock.now - since >= patience { throw error }
        logger.debug("asking the log again: \(error)")
      }
      // Cancelled: the next round fails and is the last.
      try? await Task.sleep(for: backoff.delay())
    }
  }

  private nonisolated(nonsending) func askOnce(
    _ request: WireRequest, of partition: PartitionID?, timeout: Duration
  ) async throws(LogError) -> WireResponse {
    guard let peer = client.dialler.peers().peers.first else {
      throw LogError(.unavailable, partition: partition, "no instance of \(client.dialler.service) is known")
    }
    var request = request
    request.log = contact?.name
    let response: WireResponse
    do throws(PeerError) { response = try await client.send(request, to: peer, within: timeout) } catch {
      throw LogError(error, partition: partition)
    }
    if let other = contact?.judge(response) { throw other }
    guard response.status == 200 else { throw LogError(response, partition: partition) }
    return response
  }

  /// Waits at a path that answers `{"appended":true}` once there is more, and false when a wait has lasted long enough. A
  /// cancelled wait returns, as it does in process.
  /// - Parameters:
  ///   - target: The path.
  ///   - past: The value to be exceeded, in the form that the path takes.
  ///   - patience: As for `ask`.
  nonisolated(nonsending) func waitUntilAppended(
    _ target: String, past: JSONValue, patience: Duration?
  ) async throws(LogError) {
    let milliseconds = LogLink.waitTimeout.nanosecondsHeld / 1_000_000
    let request = WireRequest(posting: ["past": past, "timeout_ms": .int(milliseconds)], to: target)
    while !Task.isCancelled {
      do throws(LogError) {
        let response = try await ask(request, patience: patience, timeout: LogLink.waitTimeout + LogLink.timeout)
        if response.json?["appended"] == .bool(true) { return }
      } catch {
        if Task.isCancelled { return }
        throw error
      }
    }
  }

  static func malformed(_ partition: PartitionID? = nil) -> LogError {
    LogError(.incompatible, partition: partition, "the log's answer is none of wire version \(WireVersion.current)")
  }
}
