import Events
import NIOCore
import NIOHTTP1

/// What a service does with the requests that its table has routes for. One is a connection's, or many connections'; all of it is called on
/// the connection's event loop, and never waits.
public protocol HTTPResponder: AnyObject, SendableMetatype {
  associatedtype Endpoint: Sendable

  /// What every answer has besides its own.
  var headers: [(name: String, value: String)] { get }
  /// A request whose body is still to come: whose sender may ask for it, as far as its route and its token go.
  /// - Throws: Why it is not answered all the same.
  func admit(_ request: HTTPRequest, _ route: Route<Endpoint>) throws(HTTPProblem)
  /// Answers a request that has come whole: once, by the reply, now or later.
  func answer(_ request: HTTPRequest, _ endpoint: Endpoint, _ reply: HTTPReply)
  /// An answer is on its way.
  func answered(_ answer: AnsweredRequest)
}

extension HTTPResponder {
  public var headers: [(name: String, value: String)] { [] }
  public func admit(_ request: HTTPRequest, _ route: Route<Endpoint>) throws(HTTPProblem) {}
  public func answered(_ answer: AnsweredRequest) {}
}

/// What became of a request, for metrics and logs.
public struct AnsweredRequest: Sendable {
  public let request: HTTPRequest
  /// Its path in the service's table; nil where it has none.
  public let path: Int?
  public let status: Int
  /// What its sender was told; nil where all is well.
  public let problem: HTTPProblem?
  /// Of its body.
  public let receivedBytes: Int
  /// From the request's last byte to its answer; zero for one that was refused before.
  public let duration: Duration
}

/// The way back to whoever asked. Belongs to the connection's event loop; what is said after an answer, or when the connection is gone, goes
/// nowhere.
public struct HTTPReply {
  let connection: any ReplyingConnection
  let number: Int

  /// Whether an answer is still waited for.
  public var isAwaited: Bool { connection.isAwaited(number) }
  public var channel: any Channel { connection.channel }

  public func send(_ answer: HTTPAnswer) { connection.send(answer, number) }

  /// Has the answer made in a task, which ends as the route's pace says.
  /// - Parameters:
  ///   - threads: Where it is made, and the pieces of its body; nil for Swift's own, which nothing that computes may hold.
  ///   - make: Knows of the request's id by `RequestID.current`.
  public func send(on threads: AnswerThreads? = nil, _ make: @escaping @Sendable () async -> HTTPAnswer) {
    connection.send(on: threads, make, number)
  }

  /// Answers 101, and leaves the connection to another protocol.
  /// - Parameters:
  ///   - headers: Of the answer.
  ///   - speaker: Makes the handler that all bytes come to from then on.
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
