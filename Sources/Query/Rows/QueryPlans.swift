import Events
import Synchronization
import Views

/// Queries that were read and checked before: dashboards ask the same thing again and again, and to read it takes as long as to answer it.
final class QueryPlans: Sendable {
  /// Texts kept: the last used, and at most so many.
  static let plansMax = 2048
  /// Bytes of a text that is kept.
  static let textBytesMax = 1024

  /// One text, and the query that it was last found to be: of a view, and for a format, which `Accept` may decide.
  final class Plan: Sendable {
    let parameters: QueryParameters
    private let last = Mutex<(format: RowFormat, query: ViewQuery)?>(nil)

    fileprivate init(_ parameters: QueryParameters) { self.parameters = parameters }

    fileprivate var isPoint: Bool {
      parameters["cursor"] == nil && last.withLock { $0.map { $0.query.request.key != nil && $0.query.limit != .max } ?? false }
    }

    /// The query it was last found to be, if that is of this view and for this format.
    func known(of view: String, as format: RowFormat) -> ViewQuery? {
      guard let known = last.withLock({ $0 }), known.format == format, known.query.definition.name == view else { return nil }
      return known.query
    }

    /// The query for a definition: as it was made before, or by `make`.
    func query(
      of definition: ViewDefinition, _ generation: Int, as format: RowFormat,
      _ make: () throws(QueryFailure) -> ViewQuery
    ) throws(QueryFailure) -> ViewQuery {
      if let known = last.withLock({ $0 }), known.format == format, known.query.generation == generation,
        known.query.definition == definition
      {
        return known.query
      }
      let query = try make()
      last.withLock { $0 = (format, query) }
      return query
    }
  }

  private struct Plans {
    /// Those used since `older` was last replaced by them.
    var newer: [UTF8Text: Plan] = [:]
    var older: [UTF8Text: Plan] = [:]

    mutating func find(_ text: UTF8Text) -> Plan? {
      if let plan = newer[text] { return plan }
      guard let plan = older.removeValue(forKey: text) else { return nil }
      add(plan, text)
      return plan
    }

    mutating func add(_ plan: Plan, _ text: UTF8Text) {
      if newer.count >= plansMax / 2 {
        older = newer
        newer = [:]
      }
      newer[text] = plan
    }
  }

  private let plans = Mutex(Plans())

  /// Texts kept now.
  var count: Int { plans.withLock { $0.newer.count + $0.older.count } }

  /// The plan of a text that was read before, and found to ask for the first page of what one key has.
  func pointPlan(_ query: Substring) -> Plan? {
    let text = UTF8Text(query)
    guard let plan = plans.withLock({ $0.find(text) }), plan.isPoint else { return nil }
    return plan
  }

  /// - Parameter query: What follows the `?`, still encoded.
  func plan(_ query: Substring, known names: [String]) throws(QueryFailure) -> Plan {
    let text = UTF8Text(query)
    if let plan = plans.withLock({ $0.find(text) }) { return plan }
    let plan = Plan(try QueryParameters(query, known: names))
    guard query.utf8.count <= QueryPlans.textBytesMax else { return plan }
    plans.withLock { $0.add(plan, text) }
    return plan
  }
}
