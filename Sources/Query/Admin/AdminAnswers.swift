import Events
import Serving
import Views

/// Answers requests that change or compare the generations of views.
final class AdminAnswers: Sendable {
  /// The default time for which a removed view can be brought back: a week.
  private static let purgeAfterDefault: Int64 = 7 * 86_400_000_000_000

  private let admin: (any ViewAdmin)?
  private let rowsMax: Int

  /// - Parameter admin: Nil where this service cannot change views.
  init(admin: (any ViewAdmin)?, rowsMax: Int) {
    self.admin = admin
    self.rowsMax = rowsMax
  }

  private func keeper() throws(QueryFailure) -> any ViewAdmin {
    guard let admin else { throw QueryFailure(503, "unavailable", "this service cannot change views, or compare them") }
    return admin
  }

  /// Turns a store's errors into HTTP's.
  private func ask<R: Sendable>(
    _ body: (any ViewAdmin) async throws(ViewStoreError) -> R
  ) async throws(QueryFailure) -> R {
    let admin = try keeper()
    do throws(ViewStoreError) { return try await body(admin) } catch { throw QueryFailure(error) }
  }

  // MARK: generations and replays

  func list(_ view: String, _ member: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    let all = try await ask { admin throws(ViewStoreError) in try await admin.generations(of: view) }
    return HTTPAnswer(200, ["view": .string(view), member: .array(all.map(\.json))] as JSONValue)
  }

  private func find(_ view: String, _ id: String) async throws(QueryFailure) -> GenerationStatus {
    let all = try await ask { admin throws(ViewStoreError) in try await admin.generations(of: view) }
    guard let one = all.first(where: { String($0.generation) == id }) else {
      throw QueryFailure(
        404, "unknown_replay",
        "view \(view) has no replay '\(id.prefix(40))': it has \(all.map { String($0.generation) }.joined(separator: ", "))"
      )
    }
    return one
  }

  func generation(_ view: String, _ id: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    return HTTPAnswer(200, try await find(view, id).json)
  }

  func drop(_ view: String, _ id: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    let one = try await find(view, id)
    guard one.state.isKept else { return HTTPAnswer(200, one.json) }
    let dropped = try await ask { admin throws(ViewStoreError) in try await admin.drop(view, generation: one.generation) }
    return HTTPAnswer(200, dropped.json)
  }

  func replay(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    let body = try AdminBody(request, known: ["from", "to", "promote", "dry_run", "allowed_lateness"])
    let replay = ReplayRequest(
      view: view, from: try body.bound("from") ?? .earliest, to: try body.bound("to"), promotes: try body.boolean("promote"),
      allowedLateness: try body.duration("allowed_lateness"))
    if case .earliest? = replay.to { throw .parameter("to", "nothing comes before the earliest event") }
    if try body.boolean("dry_run") {
      let estimate = try await ask { admin throws(ViewStoreError) in try await admin.estimate(replay) }
      return HTTPAnswer(200, estimate.json(view))
    }
    let begun = try await ask { admin throws(ViewStoreError) in try await admin.replay(replay) }
    var answer = HTTPAnswer(202, begun.json)
    answer.headers.append(("Location", "/v1/views/\(view)/replays/\(begun.generation)"))
    return answer
  }

  // MARK: changes

  func apply(_ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(request.query, known: ["hold"])
    let hold = try parameters.boolean("hold")
    let bytes = try request.bytes(
      of: ["application/yaml", "text/yaml", "application/x-yaml", "application/json", "text/plain"])
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw QueryFailure(400, "invalid_views", "the body is not UTF-8")
    }
    let catalog: ViewCatalog
    do throws(ViewCatalogError) { catalog = try ViewCatalog(yaml: text, file: "body") } catch {
      throw QueryFailure(422, "invalid_views", error.description)
    }
    let applied = try await ask { admin throws(ViewStoreError) in try await admin.apply(catalog, hold: hold) }
    return HTTPAnswer(
      200,
      [
        "views": .array(
          applied.map {
            ["view": .string($0.view), "generation": .int(Int64($0.generation)), "action": .string($0.action.rawValue)]
          })
      ] as JSONValue)
  }

  func promote(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    let body = try AdminBody(request, known: ["generation", "if_same", "max_changed", "timeout"])
    var changesMax = try body.integer("max_changed")
    if try body.boolean("if_same") { changesMax = 0 }
    let promotion = PromoteRequest(
      view: view, generation: try body.integer("generation"), changesMax: changesMax,
      timeout: try body.timeout(default: .seconds(30)))
    let promoted = try await ask { admin throws(ViewStoreError) in try await admin.promote(promotion) }
    return HTTPAnswer(promoted.state == .live ? 200 : 202, promoted.json)
  }

  func rollback(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    _ = try AdminBody(request, known: [])
    return HTTPAnswer(200, try await ask { admin throws(ViewStoreError) in try await admin.rollback(view) }.json)
  }

  func remove(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(request.query, known: ["purge_after"])
    let purgeAfter = try parameters.duration("purge_after") ?? AdminAnswers.purgeAfterDefault
    return HTTPAnswer(
      200, try await ask { admin throws(ViewStoreError) in try await admin.remove(view, purgeAfter: purgeAfter) }.json)
  }

  // MARK: comparisons

  func verify(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(request.query, known: [])
    let body = try AdminBody(request, known: ["generation", "timeout"])
    let generation = try body.integer("generation")
    let timeout = try body.timeout(default: .seconds(300))
    let report = try await ask { admin throws(ViewStoreError) in
      try await admin.verify(view, generation: generation, timeout: timeout)
    }
    return HTTPAnswer(200, report.json)
  }

  func diff(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(
      request.query, known: ["from_generation", "to_generation", "limit", "timeout", "format"])
    let format = try RowFormat.choose(parameters["format"], accept: request.accept)
    let limit = try parameters.integer("limit", default: min(1000, rowsMax), in: 0...rowsMax)
    let all = try await ask { admin throws(ViewStoreError) in try await admin.generations(of: view) }.filter(\.state.isKept)
    let live = all.first { $0.state == .live }?.generation
    let other = all.last { $0.state != .live }?.generation
    func generation(_ name: String, default fallback: Int?) throws(QueryFailure) -> Int {
      if parameters[name] != nil { return try parameters.integer(name, default: 1, in: 1...Int(Int32.max)) }
      guard let fallback else { throw .parameter(name, "view \(view) has no second generation to compare with") }
      return fallback
    }
    let pinned = PinnedRequest(
      view: view, first: try generation("from_generation", default: live),
      second: try generation("to_generation", default: other),
      timeout: try parameters.timeout(default: .seconds(30)))
    let pair = try await ask { admin throws(ViewStoreError) in try await admin.pinned(pinned) }
    return DiffText(pair, RowDifferences(pair, rowsMax: limit)).answer(format)
  }
}
