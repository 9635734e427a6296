import Events
import Synchronization
import Views

/// Queries that were read and checked before: dashboards ask the same thing again and again, and reading a query takes as long as
/// answering it.
final class QueryPlans: Sendable {
  /// The texts kept: the last used.
  static let plansMax = 2048
  /// The longest text that is kept, in bytes.
  static let textBytesMax = 1024

  /// One text, and the query that it last gave: for a view, and for a format, which `Accept` may decide.
  final class Plan: Sendable {
    let parameters: QueryParameters
    private let last = Mutex<(format: RowFormat, query: ViewQuery)?>(nil)

    fileprivate init(_ parameters: QueryParameters) { self.parameters = parameters }

    fileprivate var isPoint: Bool {
      parameters["cursor"] == nil && last.withLock { $0.map { $0.query.request.key != nil && $0.query.limit != .max } ?? false }
    }

    /// The query that it last gave, if that is for this view and format.
    func known(of view: String, as format: RowFormat) -> ViewQuery? {
      guard let known = last.withLock({ $0 }), known.format == format, known.query.definition.name == view else { return nil }
      return known.query
    }

    /// The query for a definition: the earlier one, or a new one from `make`.
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
    /// The plans used since `older` was last replaced by them.
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

  /// The number of kept texts.
  var count: Int { plans.withLock { $0.newer.count + $0.older.count } }

  /// The plan of a text that was read before and asks for the first page of one key's rows.
  func pointPlan(_ query: Substring) -> Plan? {
    let text = UTF8Text(query)
    guard let plan = plans.withLock({ $0.find(text) }), plan.isPoint else { return nil }
    return plan
  }

  /// - Parameter query: The text after the `?`, still encoded.
  func plan(_ query: Substring, known names: [String]) throws(QueryFailure) -> Plan {
    let text = UTF8Text(query)
    if let plan = plans.withLock({ $0.find(text) }) { return plan }
    let plan = Plan(try QueryParameters(query, known: names))
    guard query.utf8.count <= QueryPlans.textBytesMax else { return plan }
    plans.withLock { $0.add(plan, text) }
    return plan
  }
}
