import Events
import Expressions

/// The keys and windows of rows as columns, so that a condition can run over them.
///
/// ```swift
/// let condition = try Expression(parsing: "source == \"station/EWR\"", scope: definition.schema.keyScope)
/// let kept = rows.filtered(by: condition, keys: definition.keys.map(\.name), using: &scratch)
/// ```
public struct KeyColumns: RowSource {
  public let rowCount: Int
  private var columns: [String: ValueVector] = [:]
  /// One past each string's last byte in `stringBytes`.
  private var stringEnds: [Int] = []
  private var stringBytes: [UInt8] = []

  /// - Parameters:
  ///   - rows: The rows whose keys these are.
  ///   - names: The key columns' names, in the order of the keys' values. A row with fewer values has nulls.
  public init(_ rows: PartialRows, names: [String]) {
    rowCount = rows.count
    var vectors = Array(repeating: ValueVector(repeating: .null, count: rows.count), count: names.count)
    for row in 0..<rows.count {
      for (column, value) in rows.keys(row).prefix(names.count).enumerated() {
        let literal = Literal(value)
        vectors[column].kinds[row] = literal.kind
        vectors[column].bits[row] = literal.bits
        guard literal.kind == .string else { continue }
        stringBytes.append(contentsOf: literal.bytes)
        stringEnds.append(stringBytes.count)
        vectors[column].bits[row] = UInt64(stringEnds.count - 1)
      }
    }
    for (name, var vector) in zip(names, vectors) {
      vector.uniformKind = vector.kinds.allSatisfy { $0 == vector.kinds[0] } ? vector.kinds.first : nil
      columns[name] = vector
    }
    columns["window_start"] = KeyColumns.times(rows.windowStarts)
    columns["window_end"] = KeyColumns.times(rows.windowEnds)
  }

  private static func times(_ nanoseconds: [Int64]) -> ValueVector {
    var vector = ValueVector(repeating: .time, count: nanoseconds.count)
    for (row, time) in nanoseconds.enumerated() { vector.bits[row] = UInt64(bitPattern: time) }
    return vector
  }

  public func load(_ path: ValuePath, into vector: inout ValueVector) {
    if case .attribute(let name) = path, let column = columns[name] {
      vector = column
    } else {
      vector.reset(to: .missing, count: rowCount)
    }
  }

  public var stringCount: Int { stringEnds.count }

  public func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let range = (code == 0 ? 0 : stringEnds[code - 1])..<stringEnds[code]
    return try stringBytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
}

extension PartialRows {
  /// The rows for which a condition over keys and windows is true, in their order.
  /// - Parameters:
  ///   - condition: A condition parsed with the keys' scope.
  ///   - keys: The key columns' names, in the order of the keys' values.
  ///   - scratch: Memory used from call to call.
  public func filtered(by condition: Expression, keys: [String], using scratch: inout EvaluationScratch) -> PartialRows {
    var mask: [UInt8] = []
    _ = condition.select(from: KeyColumns(self, names: keys), using: &scratch, into: &mask)
    var result = PartialRows(stride: stride)
    for row in 0..<count where mask[row] != 0 { result.append(row, of: self) }
    return result
  }
}
