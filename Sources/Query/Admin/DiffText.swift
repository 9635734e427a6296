import Events
import Expressions
import Serving
import Views

struct DiffText {
  private let view: String
  private let generations: (first: Int, second: Int)
  private let asOf: OffsetVector
  private let differences: RowDifferences

  init(_ pair: PinnedResults, _ differences: RowDifferences) {
    view = pair.first.definition.name
    generations = (pair.first.generation, pair.second.generation)
    asOf = pair.first.asOf
    self.differences = differences
  }

  func answer(_ format: RowFormat) -> HTTPAnswer {
    guard !format.isDocument else { return HTTPAnswer(200, json) }
    let rows = differences.rows.map { values(of: $0, isNested: format.isNamed) }
    var answer = HTTPAnswer(200, format.contentType, format.rows(names(isNested: format.isNamed), rows))
    answer.headers.append(("Penstock-As-Of", asOf.description))
    return answer
  }

  private var json: JSONValue {
    [
      "view": .string(view), "from_generation": .int(Int64(generations.first)), "to_generation": .int(Int64(generations.second)),
      "as_of": asOf.json, "same": .bool(differences.isSame), "added": .int(Int64(differences.added)),
      "gone": .int(Int64(differences.gone)), "changed": .int(Int64(differences.changed)),
      "unchanged": .int(Int64(differences.same)),
      "columns": .array(
        (differences.keys + differences.columns).map { ["name": .string($0.name), "type": .string($0.type.rawValue)] }),
      "columns_only_from": .array(differences.columnsOnlyFirst.map { .string($0) }),
      "columns_only_to": .array(differences.columnsOnlySecond.map { .string($0) }),
      "rows": .array(differences.rows.map(json(of:))), "has_more": .bool(differences.rows.count < differences.count),
    ]
  }

  private func json(of row: RowDifferences.Row) -> JSONValue {
    var members = JSONObject()
    for (name, value) in zip(names(isNested: true), values(of: row, isNested: true)) { members[name] = value }
    return .object(members)
  }

  /// - Parameter isNested: Whether each generation's aggregates are one value; else each aggregate is there twice: as the first
  ///   generation has it, and as the second.
  private func names(isNested: Bool) -> [String] {
    ["change", "window_start", "window_end"] + differences.keys.map(\.name)
      + (isNested ? ["from", "to"] : differences.columns.flatMap { ["\($0.name)_from", "\($0.name)_to"] })
  }

  private func values(of row: RowDifferences.Row, isNested: Bool) -> [JSONValue] {
    let start: [JSONValue] =
      [
        .string(row.kind.rawValue), .string(Timestamp(nanoseconds: row.windowStart).description),
        .string(Timestamp(nanoseconds: row.windowEnd).description),
      ] + row.keys.map(\.jsonValue)
    guard isNested else {
      return start
        + differences.columns.indices.flatMap { index in
          [row.first?[index].jsonValue ?? .null, row.second?[index].jsonValue ?? .null]
        }
    }
    func object(_ values: [ResultValue]?) -> JSONValue {
      guard let values else { return .null }
      var members = JSONObject()
      for (column, value) in zip(differences.columns, values) { members[column.name] = value.jsonValue }
      return .object(members)
    }
    return start + [object(row.first), object(row.second)]
  }
}
