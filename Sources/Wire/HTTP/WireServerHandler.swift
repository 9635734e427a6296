import Events
import NIOCore
import NIOHTTP1
import Serving

/// One connection of a `WireServer`: collects a request within its bounds, has it answered, and takes the next.
///
/// The pipeline before it holds back pipelined requests until the answer is written, and its guard ends the connection. Belongs to the
/// channel's event loop.
final class WireServerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let shared: WireServerShared
  private var head: HTTPRequestHead?
  private var body = ByteBuffer()
  private var bodyBytesMax = 0
  private var reserved = 0
  private var task: Task<Void, Never>?
  /// The answer went out before the request had come whole: the rest is dropped.
  private var isAnsweredEarly = false
  /// Whether the connection is of a user whom the routes are for; nil before that was asked.
  private var isAdmitted: Bool?

  init(_ shared: WireServerShared) { self.shared = shared }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): begin(context, head)
    case .body(var part):
      guard !isAnsweredEarly, head != nil else { return }
      let bytes = part.readableBytes
      guard body.readableBytes + bytes <= bodyBytesMax else { return refuseEarly(context, tooLarge()) }
      if body.readableBytes + bytes > reserved {
        guard reserve(body.readableBytes + bytes - reserved) else { return refuseEarly(context, overloaded) }
      }
      body.writeBuffer(&part)
    case .end:
      guard !isAnsweredEarly, let head else { return }
      route(context, head)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    task?.cancel()
    release()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Not HTTP, or the connection broke: there is nobody to answer.
    context.close(promise: nil)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // What waits need not wait on.
    if event is HTTPListener.Finish { task?.cancel() }
    context.fireUserInboundEventTriggered(event)
  }

  private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    self.head = head
    body = ByteBuffer()
    let path = head.uri.prefix { $0 != "?" }
    bodyBytesMax = shared.routes.bodyBytesMax(head.method, path)
    guard let length = head.headers.first(name: "Content-Length").flatMap({ Int($0) }) else { return }
    guard length <= bodyBytesMax else { return refuseEarly(context, tooLarge()) }
    guard reserve(length) else { return refuseEarly(context, overloaded) }
    body.reserveCapacity(length)
  }

  private func reserve(_ bytes: Int) -> Bool {
    guard shared.reserve(bytes) else { return false }
    reserved += bytes
    return true
  }

  private func release() {
    shared.release(reserved)
    reserved = 0
  }

  private func tooLarge() -> HTTPProblem {
    HTTPProblem(status: 413, code: "too_large", detail: "a body has \(bodyBytesMax) bytes at most here")
  }

  private var overloaded: HTTPProblem {
    HTTPProblem(
      status: 503, code: "overloaded", detail: "\(WireServer.bodyBytesMax) bytes of requests are being answered; try again",
      headers: ["Retry-After": "1"])
  }

  private func route(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    let start = NIODeadline.now()
    var request = WireRequest(
      head.method, head.uri, contentType: head.headers.first(name: "Content-Type"), body: body,
      id: RequestID(head.headers.first(name: RequestID.header)))
    request.log = head.headers.first(name: WireVersion.logHeader)
    body = ByteBuffer()
    let (shared, eventLoop) = (shared, context.eventLoop)
    let version = head.headers.first(name: WireVersion.header)
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: eventLoop)
    let caller = Caller(
      isAdmitted: shared.callers == nil ? true : isAdmitted, remote: context.remoteAddress, local: context.localAddress)
    task = Task { [request] in
      let isAdmitted = await caller.isAdmitted(by: shared.callers)
      let response = await RequestID.$current.withValue(request.id) {
        await WireServerHandler.answer(request, version: version, isAdmitted: isAdmitted, shared)
      }
      if let id = request.id, response.status >= 500 {
        shared.logger.debug("answering \(response.status) to \(request.method) \(request.path)", metadata: ["request": "\(id)"])
      }
      eventLoop.execute {
        bound.value.handler.isAdmitted = isAdmitted
        bound.value.handler.answer(
          bound.value.context, head, response, to: request.id, received: request.body.readableBytes, since: start)
      }
    }
  }

  /// Who has opened the connection.
  private struct Caller: Sendable {
    /// As asked before; nil before the first time.
    var isAdmitted: Bool?
    var remote: SocketAddress?
    var local: SocketAddress?

    func isAdmitted(by callers: LocalCallers?) async -> Bool {
      if let isAdmitted { return isAdmitted }
      guard let callers, let remote, let local else { return false }
      return callers.admits(await SocketOwner.user(of: remote, connectedTo: local))
    }
  }

  private static func answer(
    _ request: WireRequest, version: String?, isAdmitted: Bool, _ shared: WireServerShared
  ) async -> WireResponse {
    let path = request.path
    let isGet = request.method == .GET || request.method == .HEAD
    switch path {
    case "/livez" where isGet: return WireResponse(["status": .string("alive")])
    case "/readyz" where isGet, "/health" where isGet:
      var readiness = await shared.probe.readiness()
      if shared.isDraining { readiness.checks.append((shared.name, "shutting down")) }
      return WireResponse(readiness.json, status: readiness.isReady ? 200 : 503)
    case "/metrics" where isGet:
      return WireResponse(
        contentType: "text/plain; version=0.0.4; charset=utf-8", body: ByteBuffer(string: shared.probe.metrics()))
    case "/openapi.json" where isGet:
      return WireResponse(contentType: WireContent.json, body: ByteBuffer(bytes: shared.routes.openAPI))
    case "/livez", "/readyz", "/health", "/metrics", "/openapi.json":
      return WireResponse(
        HTTPProblem(
          status: 405, code: "method_not_allowed", detail: "\(path) takes GET", headers: ["Allow": "GET, HEAD"]))
    default: break
    }
    guard isAdmitted else {
      return WireResponse(
        HTTPProblem(
          status: 403, code: "forbidden",
          detail:
            "\(shared.name) answers its sidecar's user on this machine, nobody else (mesh.sidecar_user); others come through the mesh"
        ))
    }
    // People ask without a version and are answered; a service that says another one is not.
    if let version, version != String(WireVersion.current) {
      return WireResponse(
        HTTPProblem(
          status: 426, code: "wire_version",
          detail: "this is wire version \(WireVersion.current), not \(version.prefix(16)): run the same version of all services"))
    }
    return await shared.threads.run { await shared.routes.answer(request) }
  }

  private func refuseEarly(_ context: ChannelHandlerContext, _ problem: HTTPProblem) {
    isAnsweredEarly = true
    guard let head else { return }
    answer(context, head, WireResponse(problem), to: nil, received: 0, since: .now())
  }

  private func answer(
    _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ answer: WireResponse, to id: RequestID?, received: Int,
    since start: NIODeadline
  ) {
    task = nil
    self.head = nil
    release()
    shared.metrics.answered(
      head.method.rawValue, answer.status, received: received,
      after: .nanoseconds((NIODeadline.now() - start).nanoseconds))
    guard context.channel.isActive else { return }
    var response = HTTPResponseHead(version: head.version, status: HTTPResponseStatus(statusCode: answer.status))
    response.headers.add(name: "Content-Type", value: answer.contentType)
    response.headers.add(name: "Content-Length", value: String(answer.body.readableBytes))
    response.headers.add(name: WireVersion.header, value: String(WireVersion.current))
    for (name, value) in answer.headers.sorted(by: { $0.key < $1.key }) {
      response.headers.replaceOrAdd(name: name, value: value)
    }
    if let id { response.headers.replaceOrAdd(name: RequestID.header, value: id.description) }
    context.write(wrapOutboundOut(.head(response)), promise: nil)
    if head.method != .HEAD, answer.body.readableBytes > 0 {
      context.write(wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil)
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}
