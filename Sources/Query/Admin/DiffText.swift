import Events
import Expressions
import Views

/// How two generations' differences are written.
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

  func answer(_ format: OutputFormat) -> Answer {
    switch format {
    case .json: return Answer(200, json)
    case .csv: return rows(format, csv)
    case .ndjson:
      var bytes: [UInt8] = []
      for row in differences.rows {
        json(of: row).write(to: &bytes)
        bytes.append(0x0A)
      }
      return rows(format, bytes)
    }
  }

  private func rows(_ format: OutputFormat, _ bytes: [UInt8]) -> Answer {
    var answer = Answer(200, format.contentType, bytes)
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
    members["change"] = .string(row.kind.rawValue)
    members["window_start"] = .string(Timestamp(nanoseconds: row.windowStart).description)
    members["window_end"] = .string(Timestamp(nanoseconds: row.windowEnd).description)
    for (column, value) in zip(differences.keys, row.keys) { members[column.name] = value.jsonValue }
    func values(_ values: [ResultValue]?) -> JSONValue {
      guard let values else { return .null }
      var members = JSONObject()
      for (column, value) in zip(differences.columns, values) { members[column.name] = value.jsonValue }
      return .object(members)
    }
    members["from"] = values(row.first)
    members["to"] = values(row.second)
    return .object(members)
  }

  /// Each aggregate twice: as the first generation has it, and as the second.
  private var csv: [UInt8] {
    var bytes: [UInt8] = []
    let names =
      ["change", "window_start", "window_end"] + differences.keys.map(\.name)
      + differences.columns.flatMap { ["\($0.name)_from", "\($0.name)_to"] }
    for (index, name) in names.enumerated() {
      if index > 0 { bytes.append(0x2C) }
      CSVText.append(name, to: &bytes)
    }
    bytes.append(contentsOf: CSVText.lineEnd)
    for row in differences.rows {
      let start: [ResultValue] = [
        .string(row.kind.rawValue), .time(Timestamp(nanoseconds: row.windowStart)), .time(Timestamp(nanoseconds: row.windowEnd)),
      ]
      var cells = start + row.keys
      for index in differences.columns.indices { cells += [row.first?[index] ?? .null, row.second?[index] ?? .null] }
      for (index, cell) in cells.enumerated() {
        if index > 0 { bytes.append(0x2C) }
        CSVText.append(cell, to: &bytes)
      }
      bytes.append(contentsOf: CSVText.lineEnd)
    }
    return bytes
  }
}
