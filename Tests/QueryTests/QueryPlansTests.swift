import Testing
import Views

@testable import Query

@Suite("Plans of queries")
struct QueryPlansTests {
  private func definition(_ window: String) throws -> ViewDefinition {
    let catalog = try ViewCatalog(
      yaml: "views: { v: { key: [source], window: { tumble: \(window) }, aggregates: { n: count() } } }", file: "test")
    return try #require(catalog.views.first)
  }

  private func query(
    _ plan: QueryPlans.Plan, _ definition: ViewDefinition, generation: Int, as format: RowFormat = .json,
    _ made: inout Int
  )
    throws -> ViewQuery
  {
    var count = made
    defer { made = count }
    return try plan.query(of: definition, generation, as: format) { () throws(QueryFailure) in
      count += 1
      return try ViewQuery(
        plan.parameters, definition: definition, generation: generation, partitionCount: 8, rowsMax: 100)
    }
  }

  @Test("the same text of the same definition is read once, of another definition or generation anew")
  func once() throws {
    let plans = QueryPlans()
    let text = "limit=7&where=source%20%3D%3D%20%22a%22"[...]
    let minute = try definition("1m"), hour = try definition("1h")
    var made = 0
    for _ in 0..<3 {
      let plan = try plans.plan(text, known: ViewQuery.parameterNames)
      #expect(try query(plan, minute, generation: 1, &made).limit == 7)
    }
    #expect(made == 1)
    let plan = try plans.plan(text, known: ViewQuery.parameterNames)
    #expect(try query(plan, minute, generation: 2, &made).generation == 2)
    #expect(made == 2)
    #expect(try query(plan, hour, generation: 2, &made).definition == hour)
    #expect(made == 3)
    _ = try query(plan, hour, generation: 2, as: .csv, &made)
    #expect(made == 4)
  }

  @Test("a text that is wrong is told of each time")
  func wrong() throws {
    let plans = QueryPlans()
    for _ in 0..<2 {
      #expect(throws: QueryFailure.self) { try plans.plan("limt=7", known: ViewQuery.parameterNames) }
    }
  }

  @Test("however many texts there are, few are kept, and each is what it says")
  func many() throws {
    let plans = QueryPlans()
    let used = try plans.plan("limit=7", known: ViewQuery.parameterNames)
    for number in 1...5000 {
      let plan = try plans.plan("limit=\(number)", known: ViewQuery.parameterNames)
      #expect(plan.parameters["limit"] == "\(number)")
      if number % 100 == 0 { #expect(try plans.plan("limit=7", known: ViewQuery.parameterNames) === used) }
    }
    #expect(plans.count <= QueryPlans.plansMax)
    let long = try plans.plan("where=" + String(repeating: "x", count: 2000), known: ViewQuery.parameterNames)
    #expect(long.parameters["where"]?.count == 2000)
    #expect(plans.count <= QueryPlans.plansMax)
  }
}
