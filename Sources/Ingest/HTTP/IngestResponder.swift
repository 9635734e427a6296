import Events
import NIOCore
import NIOHTTP1
import Resources
import Serving
import WebSocket

/// The routes of ingest, besides those that every service has.
enum IngestEndpoint: Sendable {
  case events, stream, asyncAPI

  /// The one table of ingest's paths; tests compare it with the description.
  static func routes(messageBytesMax: Int) -> RouteTable<IngestEndpoint> {
    RouteTable([
      .post("/v1/events", .events, scope: .ingest, bodyBytesMax: messageBytesMax),
      // `StreamAdmission` decides who may open one, for every transport.
      .get(StreamAdmission.path, .stream, pace: .stream),
      .get("/asyncapi.json", .asyncAPI),
    ])
  }
}

/// Answers the requests of one connection, on its loop.
final class IngestResponder: HTTPResponder {
  private let ingest: IngestLoop
  private let admission = DeviceAdmission()
  /// The reading of the request that was admitted last.
  private var events: EventsRequest?

  init(_ ingest: IngestLoop) { self.ingest = ingest }

  func admit(_ request: HTTPRequest, _ route: Route<IngestEndpoint>) throws(HTTPProblem) {
    guard case .endpoint(.events) = route.target else { return }
    if let caller = request.caller { try holdToRate(caller) }
    events = try EventsRequest(request.head)
  }

  private func holdToRate(_ caller: Caller) throws(HTTPProblem) {
    let now = NIODeadline.now().uptimeNanoseconds
    let wait = ingest.limits.meter(of: caller, now: now).wait(now: now)
    guard wait > 0 else { return }
    throw HTTPProblem(
      status: 429, code: "rate_limited", detail: "this device sends faster than its events a second",
      headers: ["Retry-After": String((wait + 999_999_999) / 1_000_000_000)])
  }

  func answer(_ request: HTTPRequest, _ endpoint: IngestEndpoint, _ reply: HTTPReply) {
    switch endpoint {
    case .events: if let events { PostedEvents(request, events, reply, ingest).take() }
    case .stream: openStream(request, reply)
    case .asyncAPI: reply.send(HTTPAnswer(200, "application/json", EmbeddedFile.asyncAPI.bytes))
    }
  }

  private func openStream(_ request: HTTPRequest, _ reply: HTTPReply) {
    let (ingest, admission) = (ingest, admission)
    do throws(HTTPProblem) {
      let (agreement, headers) = try StreamAdmission.accept(request.head, ingest, admission)
      reply.channel.closeFuture.assumeIsolated().whenComplete { _ in admission.leave(ingest) }
      reply.upgrade(HTTPHeaders([("Connection", "upgrade"), ("Upgrade", "websocket")] + headers)) {
        NIOTransport(
          WebSocketSession(
            ingest: ingest, agreement: agreement, sources: StreamAdmission.sources(of: request.head), admission: admission))
      }
    } catch {
      reply.send(HTTPAnswer(error))
    }
  }
}
