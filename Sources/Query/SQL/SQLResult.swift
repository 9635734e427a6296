import Events
import Expressions

/// A statement's rows as they are written, and their types.
struct SQLResult: Sendable {
  /// Distinct: a name that comes again gets a number, since a row is an object.
  let names: [String]
  private(set) var bytes: [UInt8] = []
  private(set) var count = 0
  var isTruncated = false
  private let declared: [ColumnType?]
  /// The types of computed columns' values so far.
  private var seen: [ColumnType]
  private let format: RowFormat
  private let labels: [[UInt8]]

  init(names: [String], declared: [ColumnType?], format: RowFormat) {
    var distinct: [String] = []
    for name in names {
      var candidate = name
      var number = 2
      while distinct.contains(candidate) {
        candidate = "\(name)_\(number)"
        number += 1
      }
      distinct.append(candidate)
    }
    self.names = distinct
    self.declared = declared
    self.format = format
    seen = Array(repeating: .null, count: names.count)
    labels = format.labels(of: distinct)
    bytes = format.head(of: distinct)
  }

  /// The type of each column: its declared type, else the type of all its values; `any` where they differ, or where there are
  /// none.
  var types: [ColumnType] { names.indices.map { declared[$0] ?? (seen[$0] == .null ? .any : seen[$0]) } }

  mutating func append(_ values: [ResultValue]) {
    if count > 0 { format.separateRows(&bytes) }
    for (index, value) in values.enumerated() {
      note(value, of: index)
      bytes.append(contentsOf: labels[index])
      format.append(value, to: &bytes)
    }
    format.endRow(&bytes)
    count += 1
  }

  private mutating func note(_ value: ResultValue, of column: Int) {
    let type: ColumnType
    switch value {
    case .null: return
    case .bool: type = .boolean
    case .int: type = .int64
    case .uint: type = .uint64
    case .double: type = .double
    case .string: type = .string
    case .time: type = .timestamp
    }
    switch (seen[column], type) {
    case (.null, _): seen[column] = type
    case (let known, type) where known == type: break
    case (.int64, .double), (.double, .int64): seen[column] = .double
    default: seen[column] = .any
    }
  }
}
