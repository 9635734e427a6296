import Events
import NIOCore
import NIOHTTP1

/// Answers the requests that a service's table has routes for. It serves one connection or many; its functions are
/// called on the connection's event loop and never wait.
public protocol HTTPResponder: AnyObject, SendableMetatype {
  associatedtype Endpoint: Sendable

  /// Headers that every answer has besides its own.
  var headers: [(name: String, value: String)] { get }
  /// Admits a request before its body comes. Its route and its token permit it.
  /// - Throws: The reason why it is refused all the same.
  func admit(_ request: HTTPRequest, _ route: Route<Endpoint>) throws(HTTPProblem)
  /// Answers a request that has come whole: once, by the reply, now or later.
  func answer(_ request: HTTPRequest, _ endpoint: Endpoint, _ reply: HTTPReply)
  /// Called when an answer is on its way.
  func answered(_ answer: AnsweredRequest)
}

extension HTTPResponder {
  public var headers: [(name: String, value: String)] { [] }
  public func admit(_ request: HTTPRequest, _ route: Route<Endpoint>) throws(HTTPProblem) {}
  public func answered(_ answer: AnsweredRequest) {}
}

/// The outcome of a request, for metrics and logs.
public struct AnsweredRequest: Sendable {
  public let request: HTTPRequest
  /// Its path in the service's table; nil where it has none.
  public let path: Int?
  public let status: Int
  /// The problem that its sender was told; nil where there was none.
  public let problem: HTTPProblem?
  /// The bytes received of its body.
  public let receivedBytes: Int
  /// The time from the request's last byte to its answer; zero for a request that was refused before its end.
  public let duration: Duration
}

/// The way back to the client. Belongs to the connection's event loop. A second answer, or one after the connection's
/// end, is ignored.
public struct HTTPReply {
  let connection: any ReplyingConnection
  let number: Int

  /// Whether the client still waits for an answer.
  public var isAwaited: Bool { connection.isAwaited(number) }
  public var channel: any Channel { connection.channel }

  public func send(_ answer: HTTPAnswer) { connection.send(answer, number) }

  /// Has the answer made in a task, which ends as the route's pace says.
  /// - Parameters:
  ///   - threads: The threads that make the answer and the pieces of its body; nil for Swift's own, which computing must not
  ///     hold.
  ///   - make: Makes the answer; `RequestID.current` is the request's id.
  public func send(on threads: AnswerThreads? = nil, _ make: @escaping @Sendable () async -> HTTPAnswer) {
    connection.send(on: threads, make, number)
  }

  /// Answers 101, and leaves the connection to another protocol.
  /// - Parameters:
  ///   - headers: The answer's headers.
  ///   - speaker: Makes the handler that gets all bytes from then on.
  public func upgrade(_ headers: HTTPHeaders, to speaker: @escaping () -> any ChannelHandler) {
    connection.upgrade(headers, to: speaker, number)
  }
}

/// A connection without its service's types.
protocol ReplyingConnection: AnyObject {
  var channel: any Channel { get }
  func isAwaited(_ number: Int) -> Bool
  func send(_ answer: HTTPAnswer, _ number: Int)
  func send(on threads: AnswerThreads?, _ make: @escaping @Sendable () async -> HTTPAnswer, _ number: Int)
  func upgrade(_ headers: HTTPHeaders, to speaker: @escaping () -> any ChannelHandler, _ number: Int)
}
