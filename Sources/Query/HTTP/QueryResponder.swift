import Logging
import Serving

/// Answers the requests of all connections.
final class QueryResponder: HTTPResponder, Sendable {
  private let answers: QueryAnswers
  private let threads = AnswerThreads(label: "penstock.query.answer")
  private let counters = QueryCounters(paths: QueryEndpoint.routes.paths.map(\.name))
  private let logger: Logger

  init(_ answers: QueryAnswers, logger: Logger) {
    self.answers = answers
    self.logger = logger
  }

  func admit(_ request: HTTPRequest, _ route: Route<QueryEndpoint>) throws(HTTPProblem) {
    guard let caller = request.caller, route.scope == .admin else { return }
    logger.notice(
      "\(request.method.rawValue) \(request.path.prefix(200)) by \(caller.subject)", metadata: ["request": "\(request.id)"])
  }

  func answer(_ request: HTTPRequest, _ endpoint: QueryEndpoint, _ reply: HTTPReply) {
    if let answer = answers.answerAtOnce(request, endpoint) { return reply.send(answer) }
    reply.send(on: endpoint.isComputed ? threads : nil) { [answers] in await answers.answer(request, endpoint) }
  }

  func answered(_ answer: AnsweredRequest) {
    counters.answered(answer.path, answer.status, after: answer.duration)
    guard let problem = answer.problem, problem.status >= 500 else { return }
    // The caller or owner logs missing or late resources; internal failures are logged here.
    logger.log(
      level: problem.status == 500 ? .error : .debug,
      "answering \(problem.status) \(problem.code) to \(counters.name(of: answer.path)): \(problem.detail)",
      metadata: ["request": "\(answer.request.id)"])
  }
}
