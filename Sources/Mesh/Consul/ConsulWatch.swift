import Logging

extension ConsulClient {
  /// Sends blocking queries until the task is cancelled: hands over the first answer, and then each that differs in its index.
  ///
  /// A failed query is retried after a jittered, doubling wait; meanwhile the last answer stands.
  /// - Parameters:
  ///   - query: The query, without `index` and `wait`.
  ///   - mayMiss: Whether 404 is an answer, as for a prefix without keys.
  ///   - changed: Takes an answer. An answer that it throws for is retried like a failure.
  func watch(
    _ path: String, query: String = "", mayMiss: Bool = false,
    _ changed: (ConsulResponse, ConsulRequest) async throws(ConsulError) -> Void
  ) async {
    var index: UInt64 = 0
    var backoff = Backoff(configuration)
    while !Task.isCancelled {
      var request = ConsulRequest(path: path, query: query)
      if index > 0 {
        let wait = configuration.wait
        request.query += (query.isEmpty ? "" : "&") + "index=\(index)&wait=\(wait.components.seconds)s"
        // The agent adds up to a sixteenth, lest all of a fleet come back at once.
        request.timeout = wait + wait / 16 + configuration.timeout
      }
      do throws(ConsulError) {
        let response = try await send(request, mayMiss: mayMiss)
        guard let next = response.index else {
          throw ConsulError(.malformed, request: request.place, "an answer to a blocking query without X-Consul-Index")
        }
        if next != index { try await changed(response, request) }
        // An index that goes backwards belongs to another history (a snapshot restored): begin anew, as Consul's documentation
        // says.
        index = next < index ? 0 : next
        backoff.reset()
      } catch {
        guard error.code != .cancelled else { return }
        logger.debug("watch: \(error)")
        index = 0
        if await !backoff.sleep() { return }
      }
    }
  }
}

/// Doubling waits with jitter.
struct Backoff {
  private let min: Duration
  private let max: Duration
  private var next: Duration

  init(_ configuration: ConsulConfiguration) {
    min = configuration.backoffMin
    max = configuration.backoffMax
    next = min
  }

  mutating func reset() { next = min }

  /// - Returns: False if the task was cancelled.
  mutating func sleep() async -> Bool {
    let wait = next * Double.random(in: 0.5...1)
    next = Swift.min(next * 2, max)
    return await slept(wait)
  }
}

/// - Returns: False if the task was cancelled.
func slept(_ duration: Duration) async -> Bool {
  do {
    try await Task.sleep(for: duration)
    return true
  } catch {
    return false
  }
}
