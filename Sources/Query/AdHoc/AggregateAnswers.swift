import Events
import Serving
import Views

/// Answers `POST /v1/aggregate`: a view's definition, computed once.
struct AggregateAnswers: Sendable {
  static let bodyBytesMax = 256 << 10
  private static let timeoutDefault: Duration = .seconds(30)
  private static let timeoutMax: Duration = .seconds(600)
  private static let definitionMembers = [
    "where", "key", "window", "watermark", "watermark_delay", "allowed_lateness", "retention", "aggregates",
  ]
  static let members = ["name"] + definitionMembers + ["from", "to", "timeout"]

  /// Nil where this service computes none.
  let store: (any AdHocStore)?
  let source: ViewSource
  let rowsMax: Int

  func answer(_ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(request.query, known: ["format"])
    let format = try RowFormat.choose(parameters["format"], accept: request.accept)
    let body = try BodyMembers(try request.json(), known: AggregateAnswers.members)
    guard let store else {
      throw QueryFailure(503, "unavailable", "no one computes aggregations here", headers: ["Retry-After": "60"])
    }
    let definition = try AggregateAnswers.definition(body)
    let from = try body.time("from")
    let to = try body.time("to")
    if let from, let to, from >= to {
      throw .member("from", "it is not before 'to': 'from' is inclusive, 'to' exclusive, so nothing lies between them")
    }
    let timeout = try body.duration("timeout") ?? AggregateAnswers.timeoutDefault
    guard timeout > .zero, timeout <= AggregateAnswers.timeoutMax else {
      throw .member("timeout", "it is more than 0, and at most 10m")
    }
    let asked = AdHocRequest(
      definition: definition, from: from.map { Timestamp(nanoseconds: $0) }, to: to.map { Timestamp(nanoseconds: $0) },
      timeout: timeout, rowsMax: rowsMax)
    let read: PartialResult
    do throws(AdHocError) {
      read = try await store.aggregate(asked)
    } catch {
      throw QueryFailure(error)
    }
    let result = try await source.result(of: ViewQuery(everyRowOf: definition, generation: 0), read)
    return ViewAnswers.answer(result, page: Array(0..<result.rows.count), nil, format)
  }

  /// The body's definition, read like a view file's: JSON is YAML.
  private static func definition(_ body: BodyMembers) throws(QueryFailure) -> ViewDefinition {
    let name = body["name"] == nil ? "aggregate" : try body.string("name")
    var settings = JSONObject()
    for member in definitionMembers { settings[member] = body[member] }
    // A view must let go of windows at some time; this reads everything before it answers, so no event needs to be late.
    if body["allowed_lateness"] == nil { settings["allowed_lateness"] = .string("3650d") }
    var views = JSONObject()
    views[name] = .object(settings)
    let file: JSONValue = ["views": .object(views)]
    do throws(ViewCatalogError) {
      let catalog = try ViewCatalog(json: file, file: "body")
      return catalog.views[0]
    } catch {
      let problems = error.problems.map { problem in (problem.key.map { "\($0): " } ?? "") + problem.message }
      throw QueryFailure(400, "invalid_view", problems.joined(separator: "\n"))
    }
  }
}

extension QueryFailure {
  init(_ error: AdHocError) {
    switch error {
    case .timeout: self.init(504, "timeout", error.description)
    case .tooLarge: self.init(422, "aggregate_too_large", error.description)
    case .log(let error): self.init(error)
    case .unavailable: self.init(503, "busy", error.description, headers: ["Retry-After": "1"])
    // The caller has left, or the service stops: nobody reads this.
    case .cancelled: self.init(503, "unavailable", error.description, headers: ["Retry-After": "1"])
    }
  }
}
