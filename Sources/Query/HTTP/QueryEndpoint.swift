import Serving
import Views

/// The routes of the query service. Tests compare them with its description.
enum QueryEndpoint: Sendable {
  case console, consoleFile, overview, liveOverview, mesh
  case views, rows, live, late, sql, aggregate, ledger, sources, rejects, events
  case apply, remove, generations, generation, dropGeneration, replays, beginReplay, promote, rollback, diff, verify

  /// Whether its answer is computed from data, and so may take long: health checks must not wait for those.
  var isComputed: Bool {
    switch self {
    case .console, .consoleFile, .mesh: false
    case .overview, .liveOverview, .views, .rows, .live, .late, .sql, .aggregate, .ledger, .sources, .rejects, .events, .apply,
      .remove, .generations, .generation, .dropGeneration, .replays, .beginReplay, .promote, .rollback, .diff, .verify:
      true
    }
  }

  static let routes = RouteTable<QueryEndpoint>([
    .get("/", .console),
    .get("/console/{file}", .consoleFile),
    .get("/v1/overview", .overview, scope: .query),
    .get("/v1/overview/live", .liveOverview, scope: .query, pace: .stream),
    .get("/v1/mesh", .mesh, scope: .query),
    .get("/v1/views", .views, scope: .query),
    .get("/v1/views/{view}", .rows, scope: .query),
    .delete("/v1/views/{view}", .remove, scope: .admin),
    .get("/v1/views/{view}/live", .live, scope: .query, pace: .stream),
    .get("/v1/views/{view}/late", .late, scope: .query),
    .post("/v1/sql", .sql, scope: .query, bodyBytesMax: SQLAnswers.bodyBytesMax, pace: .whileAsked),
    .post("/v1/aggregate", .aggregate, scope: .query, bodyBytesMax: AggregateAnswers.bodyBytesMax, pace: .whileAsked),
    .get("/v1/ledger", .ledger, scope: .query),
    .get("/v1/sources", .sources, scope: .query),
    .get("/v1/rejects", .rejects, scope: .query),
    .get("/v1/events", .events, scope: .query),
    .post("/v1/views/apply", .apply, scope: .admin, bodyBytesMax: ViewCatalog.fileBytesMax),
    .get("/v1/views/{view}/generations", .generations, scope: .query),
    .get("/v1/views/{view}/generations/{generation}", .generation, scope: .query),
    .delete("/v1/views/{view}/generations/{generation}", .dropGeneration, scope: .admin),
    .get("/v1/views/{view}/replays", .replays, scope: .query),
    .post("/v1/views/{view}/replays", .beginReplay, scope: .admin, bodyBytesMax: AdminBody.bytesMax),
    .get("/v1/views/{view}/replays/{id}", .generation, scope: .query),
    .delete("/v1/views/{view}/replays/{id}", .dropGeneration, scope: .admin),
    .post("/v1/views/{view}/promote", .promote, scope: .admin, bodyBytesMax: AdminBody.bytesMax),
    .post("/v1/views/{view}/rollback", .rollback, scope: .admin, bodyBytesMax: AdminBody.bytesMax),
    .get("/v1/views/{view}/diff", .diff, scope: .query, pace: .whileAsked),
    .post("/v1/views/{view}/verify", .verify, scope: .admin, bodyBytesMax: AdminBody.bytesMax, pace: .whileAsked),
  ])
}
