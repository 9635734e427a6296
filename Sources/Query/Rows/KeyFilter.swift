import Events
import Views

extension Expression {
  /// Reads `where=`: a condition over a view's key columns.
  init(where text: String, keysOf schema: ViewSchema) throws(QueryFailure) {
    do throws(ExpressionError) {
      try self.init(parsing: text, scope: .columns(schema.keys))
      try requireBoolean()
    } catch {
      throw .parameter("where", Expression.explain(error, text, schema).description, code: "invalid_expression")
    }
  }

  /// An aggregate in `where` is no misspelt key.
  private static func explain(_ error: ExpressionError, _ text: String, _ schema: ViewSchema) -> ExpressionError {
    do throws(ExpressionError) {
      let expression = try Expression(parsing: text, scope: .columns(schema.columns))
      let keys = schema.keys.map(\.name)
      let other = expression.paths.map(\.description).first { !keys.contains($0) }
      guard let other else { return error }
      let what = schema.aggregates.contains { $0.name == other } ? "an aggregate" : "the window's"
      let known = keys.isEmpty ? "this view has none" : "here \(keys.joined(separator: ", "))"
      return ExpressionError("where is over key columns, \(known); '\(other)' is \(what)", in: text, at: error.position)
    } catch {
      // Wrong in more ways than one: the first error stands.
    }
    return error
  }
}

extension PartialRows {
  /// The rows whose keys fulfil the condition; those on which it is an error do not.
  func filtered(by filter: Expression, keys: [SchemaColumn]) -> PartialRows {
    guard count > 0 else { return self }
    var scratch = EvaluationScratch()
    var mask: [UInt8] = []
    let source = KeyRows(self, keys: keys, paths: filter.paths)
    let selection = filter.select(from: source, using: &scratch, into: &mask)
    guard selection.matched < count else { return self }
    var result = PartialRows(stride: stride)
    result.reserveCapacity(selection.matched)
    for row in 0..<count where mask[row] != 0 {
      withKey(row) { key in
        withState(row) { state in
          result.append(
            partition: partitions[row], windowStart: windowStarts[row], windowEnd: windowEnds[row], key: key, state: state)
        }
      }
    }
    return result
  }
}

/// The keys of rows, as columns that an expression reads.
private struct KeyRows: RowSource {
  let rowCount: Int
  private var columns: [ValuePath: ValueVector] = [:]
  private var strings: [String] = []

  init(_ rows: PartialRows, keys: [SchemaColumn], paths: [ValuePath]) {
    rowCount = rows.count
    var codes: [String: Int] = [:]
    let wanted = keys.indices.filter { paths.contains(.attribute(keys[$0].name)) }
    for index in wanted { columns[.attribute(keys[index].name)] = ValueVector(repeating: .missing, count: rowCount) }
    for index in wanted { columns[.attribute(keys[index].name)]?.uniformKind = nil }
    for row in 0..<rowCount {
      let values = rows.keys(row)
      for index in wanted where index < values.count {
        let kind: ValueKind
        let bits: UInt64
        switch values[index] {
        case .null: (kind, bits) = (.null, 0)
        case .bool(let value): (kind, bits) = (.bool, value ? 1 : 0)
        case .int(let value): (kind, bits) = (.int, UInt64(bitPattern: value))
        case .double(let value): (kind, bits) = (.double, value.bitPattern)
        case .time(let value): (kind, bits) = (.time, UInt64(bitPattern: value.nanoseconds))
        case .string(let value):
          let code = codes[value] ?? strings.count
          if code == strings.count {
            codes[value] = code
            strings.append(value)
          }
          (kind, bits) = (.string, UInt64(code))
        }
        columns[.attribute(keys[index].name)]?.kinds[row] = kind
        columns[.attribute(keys[index].name)]?.bits[row] = bits
      }
    }
  }

  func load(_ path: ValuePath, into vector: inout ValueVector) {
    if let column = columns[path] {
      vector = column
    } else {
      vector.reset(to: .missing, count: rowCount)
    }
  }

  var stringCount: Int { strings.count }

  func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    var text = strings[code]
    return try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
  }
}
