import Events
import Expressions
import TestSupport

/// A value of an evaluation, for tests to compare.
enum Outcome: Equatable, CustomStringConvertible {
  case missing, failed, object
  case raw(String)
  case value(ResultValue)

  var description: String {
    switch self {
    case .missing: "missing"
    case .failed: "error"
    case .object: "object"
    case .raw(let text): "raw \(text)"
    case .value(let value): "\(value)"
    }
  }

  static func bool(_ value: Bool) -> Outcome { .value(.bool(value)) }
}

func outcomes(_ expression: Expression, _ rows: TableRows) -> [Outcome] {
  var scratch = EvaluationScratch()
  var result = ValueVector()
  expression.evaluate(over: rows, using: &scratch, into: &result)
  if let uniform = result.uniformKind { precondition(result.kinds.allSatisfy { $0 == uniform }, "uniformKind lies") }
  return (0..<result.count).map { row in
    let bits = result.bits[row]
    func text() -> String { scratch.withString(Int(bits), over: rows) { String(decoding: $0, as: UTF8.self) } }
    switch result.kinds[row] {
    case .missing: return .missing
    case .error: return .failed
    case .object: return .object
    case .null: return .value(.null)
    case .bool: return .bool(bits != 0)
    case .int: return .value(.int(Int64(bitPattern: bits)))
    case .uint: return .value(.uint(bits))
    case .double: return .value(.double(Double(bitPattern: bits)))
    case .string: return .value(.string(text()))
    case .raw: return .raw(text())
    case .time: return .value(.time(Timestamp(nanoseconds: Int64(bitPattern: bits))))
    }
  }
}
