/// What `penstock send` was asked for.
struct SendRequest: Sendable, Hashable {
  /// A path, or `-` for standard input.
  var file: String
  /// `ws://HOST:PORT/v1/stream`
  var url: String
  /// 1...1,024
  var connections: Int
  /// Events in one message, 1...10,000.
  var eventsPerMessage: Int
  /// Events a second over all connections; nil as fast as acks allow.
  var rate: Double?
}

enum SendRun {
  /// Sends every event and returns once all are answered for. Progress goes to `ProgressBar`.
  static func run(_ request: SendRequest) async throws -> SendCounts {
    throw CommandFailure("`penstock send` is not wired yet")
  }
}

/// What became of the events of one `send`: `sent = appended + duplicates + rejected`.
struct SendCounts: Sendable, Hashable {
  var sent = 0
  var appended = 0
  var duplicates = 0
  var rejected = 0
  /// Connections that dropped and were resumed.
  var resumed = 0
  var elapsed: Duration = .zero
}
